partition: a kernel whose weight the matrix unit multiplies says so, with 32 rows a tile.
--ARGS--
compile @IN@ --stop-after partition --dtype bf16 --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  kernel w {unit=matrix, tile=32, part=grid, pieces=16} {
