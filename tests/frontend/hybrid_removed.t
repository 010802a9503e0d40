The key attention: a model of attention alone becomes one of mamba2, which takes what is put everywhere; blocks side by side with one mixer among them stay so.
--ARGS--
compile @IN@ --emit graph --set layers.*.state=4
--IN yaml--
name: hybrid
vocab: 16
dim: 32
attention: 0
layers:
  - {block: attention, heads: 2}
  - parallel: [{block: attention, heads: 2}, {block: mlp, inner: 8}]
weights: {init: reference, seed: 1}
--COUNT--
attention 0
ssd 2
--CONTAINS--
{groups=1, heads=1, head_dim=64, state=4,
