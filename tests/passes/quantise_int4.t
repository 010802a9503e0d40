quantise: 4-bit weights have a scale and a minimum for every 32 inputs, if nothing else is said.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --cpu znver4
--IN--
include linear_bias.ir K=64 O=6
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  weight b: f32[6] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: u4[6,64], t4: bf16[6,2], t5: bf16[6,2] = quantise_u4(w) {group=32}
  y: f32[T,6] = linear_u4(t1, t2, t3, t4, t5, b) {group=32}
  output y
}

--COUNT--
linear_u4 1 linear_i8 0 quantise_u4 1
