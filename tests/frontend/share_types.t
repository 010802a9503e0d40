Layers share a weight of one type.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - {block: mlp, share: a, inner: 8}
  - {block: mlp, share: a, inner: 6}
--ERR--
@IN@:5:13: error: this block shares shared.a.mlp.gate_up.weight, which is f32[16,8]; its parameters make it f32[12,8]
--EXIT--
2
