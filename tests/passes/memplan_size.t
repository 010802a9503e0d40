memplan: beside a matrix unit the largest values are placed first where the slab is smaller so (13312 bytes by order, as memplan.t has them).
--ARGS--
compile @IN@ --stop-after memplan --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[32,8] init=ones
  weight v: f32[16,12] init=ones
  weight r: f32[8,16] init=ones
  weight q: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  b, c = split(a) {sizes=[20, 12]}
  d = silu(c)
  f = linear(d, v)
  g = linear(f, r)
  h = take(g, pick)
  y = linear(h, q)
  output y
}
--CONTAINS--
  slab_bytes 11264
    x: f32[T,8] @slab+8192/8 = embed(ids, e)
    a: f32[T,32] @slab+0/32 = linear(x, t1) {out=32, matmul=emitted}
