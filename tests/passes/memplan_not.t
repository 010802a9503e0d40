memplan: a graph whose output is not picked rows cannot be compiled.
--ARGS--
compile @IN@ --stop-after memplan --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y = silu(x)
  output y
}
--ERR--
output `y` has no rows R: a compiled graph gives the rows that were picked, so `take` has to come before its outputs
--EXIT--
2
