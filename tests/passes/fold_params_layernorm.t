fold_params: the weight of a layernorm without a bias goes into the linear that reads it.
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
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = layernorm(x, n) {eps=1e-05}
  y = linear(u, w)
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
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = layernorm(x) {eps=1e-05}
  t1: f32[6,8] = mul(w, n)
  y: f32[T,6] = linear(u, t1)
  output y
}
