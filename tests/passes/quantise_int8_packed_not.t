quantise: a linear whose weight is packed was chosen by hand.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
--IN--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  p: f32[2,64,64] = pack(w) {panel=64}
  y: f32[T,70] = linear(x, p) {out=70, matmul=emitted}
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  p: f32[2,64,64] = pack(w) {panel=64}
  y: f32[T,70] = linear(x, p) {out=70, matmul=emitted}
  output y
}
--COUNT--
linear 1 quantise 0
