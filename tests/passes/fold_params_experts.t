fold_params: the weight of a norm goes into router and experts that read it; a number after experts goes into theirs.
--ARGS--
compile @IN@ --stop-after fold_params --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight n: f32[8] init=ones
  weight g: f32[4,8] init=ones
  weight w: f32[4,6,8] init=ones
  weight v: f32[4,8,6] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  s = linear(u, g)
  c, p = route(s) {top=2, score=softmax, normalise=1}
  a = experts(u, c, w)
  b = silu(a)
  d = experts(b, c, v)
  k = mul(d, 0.5)
  y = mul(k, p)
  o = fold(y) {top=2}
  output o
}
--EXPECT--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight n: f32[8] init=ones
  weight g: f32[4,8] init=ones
  weight w: f32[4,6,8] init=ones
  weight v: f32[4,8,6] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = rmsnorm(x) {eps=1e-05}
  t2: f32[4,8] = mul(g, n)
  s: f32[T,4] = linear(u, t2)
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  t3: f32[4,6,8] = mul(w, n)
  a: f32[T*2,6] = experts(u, c, t3)
  b: f32[T*2,6] = silu(a)
  t1: f32[4,8,6] = mul(v, 0.5)
  d: f32[T*2,8] = experts(b, c, t1)
  y: f32[T*2,8] = mul(d, p)
  o: f32[T,8] = fold(y) {top=2}
  output o
}
