fold_params: a number stays when the linear has another reader.
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
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  c = mul(a, 0.5)
  y = add(a, c)
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
  x: f32[T,8] = embed(ids, e)
  a: f32[T,6] = linear(x, w)
  c: f32[T,6] = mul(a, 0.5)
  y: f32[T,6] = add(a, c)
  output y
}
