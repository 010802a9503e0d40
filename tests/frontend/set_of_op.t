A key of the layers whose block has an op: others that have such a parameter keep theirs.
--ARGS--
compile @IN@ --emit graph --set layers.ssd.head_dim=4 --set layers.ssd.inner=8 --set layers.attention.groups=1
--IN yaml--
name: a
vocab: 16
dim: 8
layers:
  order: MA-
  kinds:
    M: {block: mamba2, state: 4, head_dim: 8}
    A: {parts: [{block: attention, heads: 2}]}
    "-": {block: mlp, inner: 24}
weights: {init: reference, seed: 1}
--CONTAINS--
{groups=1, heads=2, head_dim=4, state=4,
{groups=1, heads=2, head_dim=4, scale=0.5
weight layers.2.mlp.down.weight: f32[8,24]
