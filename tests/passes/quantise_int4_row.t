quantise: a group of 0, the whole row, is 32 inputs for 4-bit weights.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --set compile.group=0 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  y = linear(x, w)
  output y
}
--CONTAINS--
quantise_u4(w) {group=32}
