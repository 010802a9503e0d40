A block that reads the residual stream in place of `in` cannot be parallel; two blocks of a layer with the same names.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - {parallel: [{block: old}]}
  - {parts: [{block: mlp, inner: 8}, {block: mlp, inner: 8}]}
blocks:
  - {block: old, ops: [h = h + h]}
--ERR--
@IN@:4:25: error: block old does not read `in`, which parallel blocks start from
@IN@:5:46: error: there is a layers.1.mlp.norm.weight of an earlier block of this layer; a block among others takes a name of its own, as in {block: mlp, name: second}
--EXIT--
2
