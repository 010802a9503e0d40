divide: a gate stays with what it gates where a third op reads one of them, where the two are not all of the projection, and where only one of them goes there.
--ARGS--
compile @IN@ --stop-after divide --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: f32[64,32] init=ones
  weight w2: f32[64,32] init=ones
  weight w3: f32[96,32] init=ones
  x: f32[T,32] = embed(ids, e)
  a, up = split(linear(x, w)) {sizes=[32, 32]}
  h = mul(silu(a), up)
  y1 = take(mul(h, a), pick)
  a2, up2 = split(linear(x, w2)) {sizes=[32, 32]}
  y2 = take(mul(silu(a2), x), pick)
  y3 = take(up2, pick)
  a3, up3, r = split(linear(x, w3)) {sizes=[32, 32, 32]}
  y4 = take(mul(silu(a3), up3), pick)
  y5 = take(r, pick)
  output y1
  output y2
  output y3
  output y4
  output y5
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: f32[64,32] init=ones
  weight w2: f32[64,32] init=ones
  weight w3: f32[96,32] init=ones
  x: f32[T,32] = embed(ids, e)
  t1: f32[T,64] = linear(x, w)
  a: f32[T,32], up: f32[T,32] = split(t1) {sizes=[32, 32]}
  t2: f32[T,32] = silu(a)
  h: f32[T,32] = mul(t2, up)
  t3: f32[T,32] = mul(h, a)
  y1: f32[R,32] = take(t3, pick)
  t4: f32[T,64] = linear(x, w2)
  a2: f32[T,32], up2: f32[T,32] = split(t4) {sizes=[32, 32]}
  t5: f32[T,32] = silu(a2)
  t6: f32[T,32] = mul(t5, x)
  y2: f32[R,32] = take(t6, pick)
  y3: f32[R,32] = take(up2, pick)
  t7: f32[T,96] = linear(x, w3)
  a3: f32[T,32], up3: f32[T,32], r: f32[T,32] = split(t7) {sizes=[32, 32, 32]}
  t8: f32[T,32] = silu(a3)
  t9: f32[T,32] = mul(t8, up3)
  y4: f32[R,32] = take(t9, pick)
  y5: f32[R,32] = take(r, pick)
  output y1
  output y2
  output y3
  output y4
  output y5
}
--COUNT--
linear 3 split 3
