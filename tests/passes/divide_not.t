divide: a linear stays whole where something else reads the columns too, where the convolution reads something else first, and where a second op reads the linear.
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
  weight w: f32[24,8] init=ones
  weight w2: f32[24,8] init=ones
  weight w3: f32[24,8] init=ones
  weight k: f32[16,1,4] init=ones
  state s1: f32[3,16]
  state s2: f32[3,16]
  state s3: f32[3,16]
  x: f32[T,8] = embed(ids, e)
  p = linear(x, w)
  z, u = split(p) {sizes=[8, 16]}
  c = conv1d(u, k, _, s1)
  a = mul(u, c)
  p2 = linear(x, w2) {precise=16}
  z2, u2 = split(p2) {sizes=[8, 16]}
  v2 = silu(u2)
  c2 = conv1d(v2, k, _, s2)
  p3 = linear(x, w3)
  z3, u3 = split(p3) {sizes=[8, 16]}
  c3 = conv1d(u3, k, _, s3)
  r3 = silu(p3)
  y1 = take(z, pick)
  y2 = take(a, pick)
  y3 = take(z2, pick)
  y4 = take(c2, pick)
  y5 = take(z3, pick)
  y6 = take(c3, pick)
  y7 = take(r3, pick)
  output y1
  output y2
  output y3
  output y4
  output y5
  output y6
  output y7
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
  weight w2: f32[24,8] init=ones
  weight w3: f32[24,8] init=ones
  weight k: f32[16,1,4] init=ones
  state s1: f32[3,16]
  state s2: f32[3,16]
  state s3: f32[3,16]
  x: f32[T,8] = embed(ids, e)
  p: f32[T,24] = linear(x, w)
  z: f32[T,8], u: f32[T,16] = split(p) {sizes=[8, 16]}
  c: f32[T,16] = conv1d(u, k, _, s1)
  a: f32[T,16] = mul(u, c)
  p2: f32[T,24] = linear(x, w2) {precise=16}
  z2: f32[T,8], u2: f32[T,16] = split(p2) {sizes=[8, 16]}
  v2: f32[T,16] = silu(u2)
  c2: f32[T,16] = conv1d(v2, k, _, s2)
  p3: f32[T,24] = linear(x, w3)
  z3: f32[T,8], u3: f32[T,16] = split(p3) {sizes=[8, 16]}
  c3: f32[T,16] = conv1d(u3, k, _, s3)
  r3: f32[T,24] = silu(p3)
  y1: f32[R,8] = take(z, pick)
  y2: f32[R,16] = take(a, pick)
  y3: f32[R,8] = take(z2, pick)
  y4: f32[R,16] = take(c2, pick)
  y5: f32[R,8] = take(z3, pick)
  y6: f32[R,16] = take(c3, pick)
  y7: f32[R,24] = take(r3, pick)
  output y1
  output y2
  output y3
  output y4
  output y5
  output y6
  output y7
}
--COUNT--
linear 3 split 3
