fold_params: the weight of a layernorm stays where a bias is added after it, or something else reads it.
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
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = layernorm(x, n, b) {eps=1e-05}
  a = linear(u, w)
  v = layernorm(a, n) {eps=1e-05}
  c = linear(v, w)
  y = add(c, v)
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
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = layernorm(x, n, b) {eps=1e-05}
  a: f32[T,8] = linear(u, w)
  v: f32[T,8] = layernorm(a, n) {eps=1e-05}
  c: f32[T,8] = linear(v, w)
  y: f32[T,8] = add(c, v)
  output y
}
