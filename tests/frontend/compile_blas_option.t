compile.blas: the option --blas wins over the key.
--ARGS--
compile @IN@ --stop-after choose_matmul --blas auto
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {matmul: blas, blas: none}
--CONTAINS--
{matmul=blas}
--LACKS--
matmul=emitted
