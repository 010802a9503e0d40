compile.matrix: what --set says goes over the description.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids --set compile.matrix=auto
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dtype: bf16, matrix: none}
--CONTAINS--
unit=matrix
