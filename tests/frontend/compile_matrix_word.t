compile.matrix: another word is a fault at its place.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {matrix: amx}
--ERR--
@IN@:5:19: error: compile.matrix
--EXIT--
2
