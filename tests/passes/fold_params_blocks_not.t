fold_params: a weight that is multiplied in its blocks takes no factor.
--ARGS--
compile @IN@ --stop-after fold_params --dtype int8 --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,32] init=ones
  weight n: f32[32] init=ones
  weight w: f32[8,32] init=ones blocks=Q8_0
  x: f32[T,32] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
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
  weight e: f32[16,32] init=ones
  weight n: f32[32] init=ones
  weight w: f32[8,32] init=ones blocks=Q8_0
  x: f32[T,32] = embed(ids, e)
  u: f32[T,32] = rmsnorm(x, n) {eps=1e-05}
  y: f32[T,8] = linear(u, w)
  output y
}
