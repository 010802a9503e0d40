quantise: a split whose last piece is no precise one, and a product that two read, stay whole.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  weight v: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  p = linear(x, w) {precise=6}
  z, dt = split(p) {sizes=[65, 5]}
  q = linear(x, v) {precise=6}
  a, c = split(q) {sizes=[64, 6]}
  r = silu(q)
  y1 = take(z, pick)
  y2 = take(dt, pick)
  y3 = take(a, pick)
  y4 = take(c, pick)
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
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  weight v: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[70,64], t4: f32[70,1] = quantise_i8(w)
  p: f32[T,70] = linear_i8(t1, t2, t3, t4)
  z: f32[T,65], dt: f32[T,5] = split(p) {sizes=[65, 5]}
  t6: i8[70,64], t7: f32[70,1] = quantise_i8(v)
  q: f32[T,70] = linear_i8(t1, t2, t6, t7)
  a: f32[T,64], c: f32[T,6] = split(q) {sizes=[64, 6]}
  r: f32[T,70] = silu(q)
  y1: f32[R,65] = take(z, pick)
  y2: f32[R,5] = take(dt, pick)
  y3: f32[R,64] = take(a, pick)
  y4: f32[R,6] = take(c, pick)
  y5: f32[R,70] = take(r, pick)
  output y1
  output y2
  output y3
  output y4
  output y5
}

--LACKS--
precise
--COUNT--
linear 0 linear_i8 2 split 2
