quantise: a 4-bit model has 8 bits where rows are picked.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  weight v: f32[16,64] init=ones
  x: f32[T,64] = embed(ids, e)
  a = linear(x, w)
  h = take(a, pick)
  y = linear(h, v)
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  weight v: f32[16,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: u4[64,64], t4: bf16[64,2], t5: bf16[64,2] = quantise_u4(w) {group=32}
  a: f32[T,64] = linear_u4(t1, t2, t3, t4, t5) {group=32}
  h: f32[R,64] = take(a, pick)
  t7: i8[R,64], t8: f32[R,1] = quantise(h)
  t9: i8[16,64], t10: f32[16,1] = quantise_i8(v)
  y: f32[R,16] = linear_i8(t7, t8, t9, t10)
  output y
}

--COUNT--
linear_u4 1 linear_i8 1
