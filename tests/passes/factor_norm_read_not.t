factor_norm: a norm that something else reads stays.
--ARGS--
compile @IN@ --stop-after factor_norm --device sm_90a --dtype bf16 --entry decode
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
  o0 = linear(u, w)
  o = add(o0, u)
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
  t1: bf16[32,32] = cast(w) {to=bf16}
  t2: bf16[T,32] = cast(u) {to=bf16}
  o0: f32[T,32] = linear(t2, t1)
  o: f32[T,32] = add(o0, u)
  output o
}
