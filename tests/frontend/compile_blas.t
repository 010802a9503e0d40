compile.blas: none rules OpenBLAS out, also where compile.matmul asks for it.
--ARGS--
compile @IN@ --stop-after choose_matmul
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {matmul: blas, blas: none}
--CONTAINS--
{matmul=emitted}
--LACKS--
matmul=blas
