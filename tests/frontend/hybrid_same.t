The key attention: a model that has as many is left as it is, wherever they are.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: hybrid
vocab: 16
dim: 8
attention: 1
layers:
  - {block: attention, heads: 2, groups: 1}
  - {block: mamba2, state: 4, head_dim: 4, repeat: 2}
weights: {init: reference, seed: 1}
--COUNT--
attention 1
ssd 2
--CONTAINS--
state layers.0.keys: f32[S,4]
