canon: a clamp that may act stays: an upper bound, a lower bound above 0, an operand that may be negative.
--ARGS--
compile @IN@ --stop-after canon --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = softplus(x)
  b = clamp(a) {range=[0, 4]}
  c = clamp(b) {range=[0, inf]}
  d = softplus(c)
  f = clamp(d) {range=[0.001, inf]}
  y = silu(f)
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
  x: f32[T,8] = embed(ids, e)
  a: f32[T,8] = softplus(x)
  b: f32[T,8] = clamp(a) {range=[0, 4]}
  c: f32[T,8] = clamp(b) {range=[0, inf]}
  d: f32[T,8] = softplus(c)
  f: f32[T,8] = clamp(d) {range=[0.001, inf]}
  y: f32[T,8] = silu(f)
  output y
}
