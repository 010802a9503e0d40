partition: groups of 8 bytes end inside a step of the matrix unit: vectors multiply them.
--ARGS--
compile @IN@ --stop-after partition --dtype int8 --set compile.group=8 --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  kernel w {tile=6, part=grid, pieces=16} {
