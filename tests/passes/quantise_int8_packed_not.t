quantise: a linear whose weight is packed, or that reads some rows of it, was chosen by hand.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  y = linear(x, w) {first=64, rows=6}
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  phase prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  y: f32[T,6] = linear(x, w) {first=64, rows=6}
  output y
}

--COUNT--
linear 1 quantise 0
