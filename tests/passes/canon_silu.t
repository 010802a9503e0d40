canon: x * sigmoid(x) is silu(x), whichever side the gate is on.
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
  a = sigmoid(x)
  b = mul(x, a)
  c = exp(x)
  d = sigmoid(c)
  f = mul(d, c)
  y = add(b, f)
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
  b: f32[T,8] = silu(x)
  c: f32[T,8] = exp(x)
  f: f32[T,8] = silu(c)
  y: f32[T,8] = add(b, f)
  output y
}
