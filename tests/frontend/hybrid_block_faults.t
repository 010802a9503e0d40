hybrid: of a block: values of parameters that the block has.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 32
layers: {block: mine}
blocks:
  - block: mine
    params: {heads: 2}
    hybrid: {head: 2}
    ops: [h = h + in]
  - block: other
    hybrid: [1]
    ops: [h = h + in]
--ERR--
@IN@:7:14: error: unknown key 'head' in hybrid; the nearest known one is 'heads'
@IN@:10:13: error: hybrid is [1]; expected a map
--EXIT--
2
