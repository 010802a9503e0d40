choose_matmul: a linear with dot=bf16x3 is emitted, whatever the table says of its width.
--ARGS--
compile @IN@ --stop-after choose_matmul --cpu sapphirerapids --set compile.dot=bf16x3
--IN--
include linear.ir K=64 W=f32[4096,64]
--CONTAINS--
  y: f32[T,4096] = linear(x, w) {dot=bf16x3, matmul=emitted}
