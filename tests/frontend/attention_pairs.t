Rows that turn together lie in neighbouring pairs: those of queries and keys are put in halves, those of values stay.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
layers:
  - {block: attention, heads: 2, groups: 1, pairs: neighbours, bias: true}
weights: {init: reference}
--CONTAINS--
regroup(layers.0.attention.qkv_proj.weight) {groups=2, sizes=[1, 1], repeat=3}
regroup(layers.0.attention.qkv_proj.bias) {groups=2, sizes=[1, 1], repeat=3}
