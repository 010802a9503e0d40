layout: 8-bit weights and their scales are packed in panels of one width.
--ARGS--
compile @IN@ --stop-after layout --dtype int8 --cpu znver4
--IN--
include linear_bias.ir K=64 O=70
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  weight b: f32[70] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[70,64], t4: f32[70,1] = quantise_i8(w)
  t6: u8[2,16,64,4] = pack(t3) {panel=64}
  t7: f32[2,1,64] = pack(t4) {panel=64}
  y: f32[T,70] = linear_i8(t1, t2, t6, t7, b) {out=70}
  output y
}

--COUNT--
pack 2 linear_i8 1
