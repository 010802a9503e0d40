layout: of each 32 inputs high parts, then low ones, in panels of 32 columns.
--ARGS--
compile @IN@ --stop-after layout --cpu sapphirerapids --set compile.dot=bf16x3
--IN--
include linear.ir K=40 W=f32[70,40]
--CONTAINS--
  t1: bf16[3,64,32,2] = pack(w) {dot=bf16x3, panel=32}
  y: f32[T,70] = linear(x, t1) {dot=bf16x3, out=70, matmul=emitted}
