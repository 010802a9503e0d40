quantise: a weight in blocks keeps its whole numbers and scales; one in none is f32.
--ARGS--
compile @IN@ --stop-after quantise --dtype stored --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight n: f32[64] init=ones
  weight w: f32[6,64] tensor="w.weight" init=ones blocks=Q8_0
  weight v: f32[64,6] init=ones
  weight u: f32[5,64] init=ones blocks=Q4_1
  weight o: f32[5,64] init=ones blocks=other
  x: f32[T,64] = embed(ids, e)
  h = rmsnorm(x, n) {eps=1e-05}
  a = linear(h, w)
  b = linear(a, v)
  c = linear(b, u)
  d = linear(b, o)
  y = add(c, d)
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
  weight n: f32[64] init=ones
  weight w: f32[6,64] tensor="w.weight" init=ones blocks=Q8_0
  weight v: f32[64,6] init=ones
  weight u: f32[5,64] init=ones blocks=Q4_1
  weight o: f32[5,64] init=ones blocks=other
  weight w.scales: f16[6,2] tensor="w.weight@scales" init=ones
  weight u.scales: f16[5,2] tensor="u@scales" init=ones
  weight u.minima: f16[5,2] tensor="u@minima" init=ones
  x: f32[T,64] = embed(ids, e)
  h: f32[T,64] = rmsnorm(x, n) {eps=1e-05}
  t1: i8[T,64], t2: f32[T,1] = quantise(h)
  t3: i8[6,64], t4: f16[6,2] = quantise_i8(w, w.scales) {group=32}
  a: f32[T,6] = linear_i8(t1, t2, t3, t4) {group=32}
  b: f32[T,64] = linear(a, v)
  t6: i8[T,64], t7: f32[T,1] = quantise(b)
  t8: u4[5,64], t9: f16[5,2], t10: f16[5,2] = quantise_u4(u, u.scales, u.minima) {group=32}
  c: f32[T,5] = linear_u4(t6, t7, t8, t9, t10) {group=32}
  t12: i8[5,64], t13: bf16[5,2] = quantise_i8(o) {group=32}
  d: f32[T,5] = linear_i8(t6, t7, t12, t13) {group=32}
  y: f32[T,5] = add(c, d)
  output y
}
