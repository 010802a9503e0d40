compile.dot: bf16x3 is for projections of f32, and OpenBLAS has none of it.
--ARGS--
compile @IN@ --cpu sapphirerapids
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile:
  dtype: int8
  matmul: blas
  dot: bf16x3
--ERR--
@IN@:6:10: error: compile.dtype = int8 contradicts compile.dot = bf16x3, which takes f32
@IN@:8:8: note: compile.dot is given here
@IN@:7:11: error: compile.matmul = blas contradicts compile.dot = bf16x3, which takes auto or emitted
--EXIT--
2
