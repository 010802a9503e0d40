quantise: with f16 weights are cast, activations are not.
--ARGS--
compile @IN@ --stop-after quantise --dtype f16 --cpu znver4
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
  t1: f16[6,64] = cast(w) {to=f16}
  y: f32[T,6] = linear(x, t1, b)
  output y
}

--COUNT--
cast 1 linear 1
