divide: a gate stays with what it gates where no matrix unit multiplies the weight.
--ARGS--
compile @IN@ --stop-after divide --dtype bf16 --cpu znver5
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: f32[128,32] init=ones
  weight w2: f32[128,32] init=ones
  weight d: f32[32,64] init=ones
  x: f32[T,32] = embed(ids, e)
  a, up = split(linear(x, w)) {sizes=[64, 64]}
  h = linear(mul(silu(mul(a, 0.5)), up), d)
  up2, a2 = split(linear(h, w2)) {sizes=[64, 64]}
  h2 = linear(mul(gelu(a2), up2), d)
  y = take(h2, pick)
  output y
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
  weight w: f32[128,32] init=ones
  weight w2: f32[128,32] init=ones
  weight d: f32[32,64] init=ones
  x: f32[T,32] = embed(ids, e)
  t1: f32[T,128] = linear(x, w)
  a: f32[T,64], up: f32[T,64] = split(t1) {sizes=[64, 64]}
  t2: f32[T,64] = mul(a, 0.5)
  t3: f32[T,64] = silu(t2)
  t4: f32[T,64] = mul(t3, up)
  h: f32[T,32] = linear(t4, d)
  t5: f32[T,128] = linear(h, w2)
  up2: f32[T,64], a2: f32[T,64] = split(t5) {sizes=[64, 64]}
  t6: f32[T,64] = gelu(a2)
  t7: f32[T,64] = mul(t6, up2)
  h2: f32[T,32] = linear(t7, d)
  y: f32[R,32] = take(h2, pick)
  output y
}
--COUNT--
linear 4 split 2
