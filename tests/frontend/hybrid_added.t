The key attention: a model of recurrences alone takes attention of heads of 64, four of them to a head of keys and values, without positions; what is put everywhere goes to the others.
--ARGS--
compile @IN@ --emit graph --set attention=1 --set layers.*.head_dim=4
--IN yaml--
name: hybrid
vocab: 16
dim: 256
layers:
  parts:
    - {block: mamba2, state: 4}
    - {block: mlp, inner: 8}
  repeat: 3
weights: {init: reference, seed: 1}
--COUNT--
attention 1
ssd 2
rope 0
--CONTAINS--
weight layers.1.attention.qkv_proj.weight: f32[384,256]
{groups=1, heads=4, head_dim=64, scale=0.125}
{groups=1, heads=128, head_dim=4, state=4,
weight layers.1.mlp.down.weight
