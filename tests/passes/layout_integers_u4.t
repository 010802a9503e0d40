layout: 4-bit weights, scales and minima are packed.
--ARGS--
compile @IN@ --stop-after layout --dtype int4 --cpu znver4
--IN--
include linear.ir K=64 W=f32[70,64]
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
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: u4[70,64], t4: bf16[70,2], t5: bf16[70,2] = quantise_u4(w) {group=32}
  t7: u4x2[2,8,64,4] = pack(t3) {group=32, panel=64}
  t8: bf16[2,1,64,2] = pack(t4) {panel=64}
  t9: bf16[2,1,64,2] = pack(t5) {panel=64}
  y: f32[T,70] = linear_u4(t1, t2, t7, t8, t9) {out=70, group=32}
  output y
}

--COUNT--
pack 3 linear_u4 1
