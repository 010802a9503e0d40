quantise: a linear that says dot=bf16x3 itself keeps it without the option.
--ARGS--
compile @IN@ --stop-after quantise --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y = linear(x, w) {dot=bf16x3}
  output y
}
--CONTAINS--
  y: f32[T,6] = linear(x, w) {dot=bf16x3}
