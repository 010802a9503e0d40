compile.matrix: the word of a description goes where the machine is described; none packs for vectors alone.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dtype: bf16, matrix: none}
--LACKS--
unit=matrix
