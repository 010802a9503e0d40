canon: numbers of a chain of one commutative op become one.
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
  a = mul(x, 2)
  b = mul(3, a)
  c = add(b, 1)
  y = add(c, 4)
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
  b: f32[T,8] = mul(x, 6)
  y: f32[T,8] = add(b, 5)
  output y
}
