Faults of the frame: a key that its block does not take, a value out of its words.
--ARGS--
compile @IN@ --set frame.scale=2
--IN yaml--
vocab: 16
dim: 8
frame: {norm: batch}
layers: [{block: mlp, inner: 4}]
--ERR--
--set:1:7: error: unknown key 'frame.scale'
--EXIT--
2
