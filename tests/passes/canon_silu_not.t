canon: a gate of something else is no silu.
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
  a = exp(x)
  b = sigmoid(a)
  y = mul(x, b)
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
  a: f32[T,8] = exp(x)
  b: f32[T,8] = sigmoid(a)
  y: f32[T,8] = mul(x, b)
  output y
}
