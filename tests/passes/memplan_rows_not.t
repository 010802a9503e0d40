memplan: without a matrix unit rows follow each other.
--ARGS--
compile @IN@ --stop-after memplan --dtype bf16 --cpu znver5
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,130] init=ones
  weight w: f32[130,130] init=ones
  weight q: f32[16,130] init=ones
  x: f32[T,130] = embed(ids, e)
  a = linear(x, w)
  b = silu(a)
  h = take(b, pick)
  y = linear(h, q)
  output y
}
--CONTAINS--
    b: f32[T,130] @slab+16640/130 = silu(a)
