partition: products of bytes, too, run on the matrix unit.
--ARGS--
compile @IN@ --stop-after partition --dtype int8 --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  kernel w {unit=matrix, tile=32, part=grid, pieces=16} {
