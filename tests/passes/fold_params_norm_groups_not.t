fold_params: a norm's weight that is that of each group stays: it is shorter than the projection's inputs.
--ARGS--
compile @IN@ --stop-after fold_params --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight n: f32[4] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05, groups=2}
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
  weight n: f32[4] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = rmsnorm(x, n) {eps=1e-05, groups=2}
  y: f32[T,8] = linear(u, w)
  output y
}
