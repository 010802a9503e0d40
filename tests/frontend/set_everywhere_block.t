A star is every layer, also where layers are one block.
--ARGS--
compile @IN@ --emit graph --set layers.*.state=16 --set layers.*.repeat=1
--IN yaml--
name: a
vocab: 16
dim: 8
layers: {block: mamba2, state: 4, head_dim: 8, repeat: 2}
weights: {init: reference, seed: 1}
--COUNT--
ssd 1
--CONTAINS--
state=16,
