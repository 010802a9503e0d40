partition: f32 is multiplied by vectors on a CPU with a matrix unit as well.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  kernel w {tile=6, part=grid, pieces=16} {
