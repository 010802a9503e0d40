fold_params: the weight of a norm that experts read stays where a pointwise op reads it too, and a column's factor after experts.
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
  weight f: f32[8] init=ones
  weight g: f32[4,8] init=ones
  weight w: f32[4,8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  s = linear(u, g)
  c, p = route(s) {top=2, score=softmax, normalise=1}
  a = experts(u, c, w)
  k = mul(a, f)
  y = mul(k, p)
  d = fold(y) {top=2}
  o = add(d, u)
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
  weight f: f32[8] init=ones
  weight g: f32[4,8] init=ones
  weight w: f32[4,8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = rmsnorm(x, n) {eps=1e-05}
  s: f32[T,4] = linear(u, g)
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  a: f32[T*2,8] = experts(u, c, w)
  k: f32[T*2,8] = mul(a, f)
  y: f32[T*2,8] = mul(k, p)
  d: f32[T,8] = fold(y) {top=2}
  o: f32[T,8] = add(d, u)
  output o
}
