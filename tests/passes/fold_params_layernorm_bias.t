fold_params: factors behind a layernorm with a bias go into the linear, and its own weight and bias stay.
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
  weight b: f32[8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = layernorm(x, n, b) {eps=1e-05}
  a = mul(u, n)
  y = linear(a, w)
  output y
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
  weight b: f32[8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = layernorm(x, n, b) {eps=1e-05}
  t1: f32[6,8] = mul(w, n)
  y: f32[T,6] = linear(u, t1)
  output y
}
