divide: without a matrix unit a convolution's columns stay with the others.
--ARGS--
compile @IN@ --stop-after divide --dtype bf16 --cpu znver5
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[24,8] init=ones
  weight k: f32[16,1,4] init=ones
  state s: f32[3,16]
  x: f32[T,8] = embed(ids, e)
  p = linear(x, w)
  z, u = split(p) {sizes=[8, 16]}
  c = conv1d(u, k, _, s)
  y1 = take(z, pick)
  y2 = take(c, pick)
  output y1
  output y2
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[24,8] init=ones
  weight k: f32[16,1,4] init=ones
  state s: f32[3,16]
  x: f32[T,8] = embed(ids, e)
  p: f32[T,24] = linear(x, w)
  z: f32[T,8], u: f32[T,16] = split(p) {sizes=[8, 16]}
  c: f32[T,16] = conv1d(u, k, _, s)
  y1: f32[R,8] = take(z, pick)
  y2: f32[R,16] = take(c, pick)
  output y1
  output y2
}
--COUNT--
linear 1 split 1
