fold_params: a number after a linear goes into its weight and bias.
--ARGS--
compile @IN@ --stop-after fold_params --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  weight b: f32[6] init=ones
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w, b)
  c = mul(0.5, a)
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
  weight w: f32[6,8] init=ones
  weight b: f32[6] init=ones
  x: f32[T,8] = embed(ids, e)
  t1: f32[6,8] = mul(w, 0.5)
  t2: f32[6] = mul(b, 0.5)
  a: f32[T,6] = linear(x, t1, t2)
  y: f32[T,6] = silu(a)
  output y
}
