partition: compile.matrix=none leaves products to vectors.
--ARGS--
compile @IN@ --stop-after partition --dtype int8 --cpu sapphirerapids --set compile.matrix=none
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  kernel w {tile=6, part=grid, pieces=16} {
