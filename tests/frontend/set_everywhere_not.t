What no block knows is a fault, and so is a star without a key of its own.
--ARGS--
compile @IN@ --emit graph --set layers.*.stat=16
--IN yaml--
name: a
vocab: 16
dim: 8
layers: [{block: mamba2, state: 4, head_dim: 8}]
--ERR--
--set:1:10: error: no layer's block has a parameter 'stat'
--EXIT--
2
