quantise: with dtype f32 nothing is cast.
--ARGS--
compile @IN@ --stop-after quantise --dtype f32 --cpu x86-64-v4
--IN--
include linear.ir K=8 W=f32[6,8]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y: f32[T,6] = linear(x, w)
  output y
}
