divide: columns that a convolution alone reads are a linear of their own beside a matrix unit, and so are precise ones; what lies between them stays together.
--ARGS--
compile @IN@ --stop-after divide --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[36,8] init=ones
  weight b: f32[36] init=ones
  weight k: f32[16,1,4] init=ones
  state s: f32[3,16]
  x: f32[T,8] = embed(ids, e)
  p = linear(x, w, b) {precise=4}
  z, v, u, dt = split(p) {sizes=[8, 8, 16, 4]}
  c = conv1d(u, k, _, s)
  g = mul(z, v)
  y1 = take(g, pick)
  y2 = take(c, pick)
  y3 = take(dt, pick)
  output y1
  output y2
  output y3
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
  weight w: f32[36,8] init=ones
  weight b: f32[36] init=ones
  weight k: f32[16,1,4] init=ones
  state s: f32[3,16]
  x: f32[T,8] = embed(ids, e)
  dt: f32[T,4] = linear(x, w, b) {precise=4, first=32, rows=4}
  u: f32[T,16] = linear(x, w, b) {first=16, rows=16}
  t3: f32[T,16] = linear(x, w, b) {rows=16}
  z: f32[T,8], v: f32[T,8] = split(t3) {sizes=[8, 8]}
  c: f32[T,16] = conv1d(u, k, _, s)
  g: f32[T,8] = mul(z, v)
  y1: f32[R,8] = take(g, pick)
  y2: f32[R,16] = take(c, pick)
  y3: f32[R,4] = take(dt, pick)
  output y1
  output y2
  output y3
}
--COUNT--
linear 3 split 1 conv1d 1
