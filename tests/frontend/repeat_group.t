Layers are counted through repeats and groups, aliases stand for what their anchor names.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
layers:
  - {repeat: 2, layers: [&a {block: mamba2, state: 4, head_dim: 8}, {block: mamba2, state: 8, head_dim: 4}]}
  - *a
weights: {init: reference}
--COUNT--
ssd 5 conv1d 5 rmsnorm 11
--CONTAINS--
state layers.0.ssm: f32[2,4,8]
state layers.1.ssm: f32[4,8,4]
state layers.4.ssm: f32[2,4,8]
