A star is every layer, and a key comes after it.
--ARGS--
compile @IN@ --emit graph --set layers.*=16 --set layers.*.dt_limit.0=1
--IN yaml--
name: a
vocab: 16
dim: 8
layers: [{block: mamba2, state: 4, head_dim: 8}]
--ERR--
--set:1:8: error: '*' is every layer: one key comes after it, as in layers.*.state=64
--EXIT--
2
