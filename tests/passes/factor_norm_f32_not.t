factor_norm: sums of squares are made of bf16 alone.
--ARGS--
compile @IN@ --stop-after factor_norm --device sm_90a --dtype f32 --entry decode
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  weight e: f32[16,32] init=ones
  weight w: f32[32,32] init=ones
  h = embed(ids, e)
  u = rmsnorm(h) {eps=1e-05}
  o = linear(u, w)
  output o
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  weight e: f32[16,32] init=ones
  weight w: f32[32,32] init=ones
  h: f32[T,32] = embed(ids, e)
  u: f32[T,32] = rmsnorm(h) {eps=1e-05}
  o: f32[T,32] = linear(u, w)
  output o
}
