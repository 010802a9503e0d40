memplan: beside a matrix unit rows of 512 bytes and more are an odd number of cache lines apart, shorter ones are not.
--ARGS--
compile @IN@ --stop-after memplan --dtype bf16 --cpu sapphirerapids
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
    b: f32[T,130] @slab+16640/144 = silu(a)
    t2: bf16[T,130] @slab+0/130 = cast(x) {to=bf16}
