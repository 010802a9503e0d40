canon: a square is never negative, so that a lower bound of 0 goes; any other clamp stays.
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
  a = square(x)
  b = clamp(a) {range=[0, inf]}
  c = square(b)
  y = clamp(c) {range=[0.5, inf]}
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
  a: f32[T,8] = square(x)
  c: f32[T,8] = square(a)
  y: f32[T,8] = clamp(c) {range=[0.5, inf]}
  output y
}
