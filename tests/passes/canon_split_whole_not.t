canon: a split in two pieces stays.
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
  a, b = split(x) {sizes=[4, 4]}
  y = mul(a, b)
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
  a: f32[T,4], b: f32[T,4] = split(x) {sizes=[4, 4]}
  y: f32[T,4] = mul(a, b)
  output y
}
