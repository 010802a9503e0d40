canon: a clamp goes when it lets everything through: no bounds, or only a lower one that the op
before it cannot be below.
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
  a = clamp(x) {range=[-inf, inf]}
  b = softplus(a)
  c = clamp(b) {range=[0, inf]}
  y = silu(c)
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
  b: f32[T,8] = softplus(x)
  y: f32[T,8] = silu(b)
  output y
}
