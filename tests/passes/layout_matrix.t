layout: a weight that the matrix unit multiplies is packed in panels of 32 columns, two tiles of 16, whatever its columns.
--ARGS--
compile @IN@ --stop-after layout --dtype bf16 --cpu sapphirerapids
--IN--
include linear.ir K=40 W=f32[70,40]
--CONTAINS--
  t3: bf16[3,20,32,2] = pack(t1) {panel=32}
  y: f32[T,70] = linear(t2, t3) {out=70, matmul=emitted}
--COUNT--
pack 1
