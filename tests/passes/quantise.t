quantise: both factors of a linear are cast to bf16; bias and result stay f32.
--ARGS--
compile @IN@ --stop-after quantise --dtype bf16 --cpu x86-64-v4
--IN--
include linear_bias.ir K=8 O=6
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  weight b: f32[6] init=ones
  x: f32[T,8] = embed(ids, e)
  t1: bf16[6,8] = cast(w) {to=bf16}
  t2: bf16[T,8] = cast(x) {to=bf16}
  y: f32[T,6] = linear(t2, t1, b)
  output y
}
