compile.dot: another word is a fault at its place.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dot: bf16}
--ERR--
@IN@:5:16: error: compile.dot
--EXIT--
2
