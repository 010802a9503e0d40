The key attention: of 6 mixers 2 become attention, in the middle of two equal parts; the layer that was attention is now as the first recurrence, and MLPs stay.
--ARGS--
compile @IN@ --emit graph --set attention=2
--IN yaml--
name: hybrid
vocab: 16
dim: 8
layers:
  order: MMM-MMA
  kinds:
    M: {block: mamba2, state: 4, head_dim: 4}
    A: {block: attention, heads: 2, window: 7}
    "-": {block: mlp, inner: 8}
weights: {init: reference, seed: 1}
--COUNT--
attention 2
ssd 4
silu 9
--CONTAINS--
state layers.0.ssm: f32[4,4,4]
state layers.1.keys: f32[S,8]
state layers.2.ssm: f32[4,4,4]
weight layers.3.mlp.down.weight
state layers.4.ssm: f32[4,4,4]
state layers.5.keys: f32[S,8]
state layers.6.ssm: f32[4,4,4]
window=7
