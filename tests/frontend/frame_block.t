A frame is a block, by its name or in a map.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
frame: {block: [lm]}
layers: [{block: mlp, inner: 4}]
--ERR--
@IN@:3:16: error: the frame is [lm]; expected the name of a block
--EXIT--
2
