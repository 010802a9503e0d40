partition: the matrix unit multiplies what is packed with dot=bf16x3.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids --set compile.dot=bf16x3
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  kernel w {unit=matrix, tile=32, part=grid, pieces=16} {
