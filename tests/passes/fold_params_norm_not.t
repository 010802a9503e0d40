fold_params: the weight of a norm that something else reads too stays.
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
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  a = linear(u, w)
  y = add(a, u)
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
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = rmsnorm(x, n) {eps=1e-05}
  a: f32[T,8] = linear(u, w)
  y: f32[T,8] = add(a, u)
  output y
}
