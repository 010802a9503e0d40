quantise: a weight in blocks of more bits than dtype asks for gets new numbers.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones blocks=Q8_0
  weight u: f32[5,64] init=ones blocks=Q4_0
  x: f32[T,64] = embed(ids, e)
  a = linear(x, w)
  y = linear(a, u)
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
  weight w: f32[64,64] init=ones blocks=Q8_0
  weight u: f32[5,64] init=ones blocks=Q4_0
  weight u.scales: f16[5,2] tensor="u@scales" init=ones
  weight u.minima: f16[5,2] tensor="u@minima" init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: u4[64,64], t4: bf16[64,2], t5: bf16[64,2] = quantise_u4(w) {group=32}
  a: f32[T,64] = linear_u4(t1, t2, t3, t4, t5) {group=32}
  t7: i8[T,64], t8: f32[T,1] = quantise(a)
  t9: u4[5,64], t10: f16[5,2], t11: f16[5,2] = quantise_u4(u, u.scales, u.minima) {group=32}
  y: f32[T,5] = linear_u4(t7, t8, t9, t10, t11) {group=32}
  output y
}
