quantise: with compile.dot=bf16x3 a linear of f32 says so, and nothing is cast.
--ARGS--
compile @IN@ --stop-after quantise --cpu sapphirerapids --set compile.dot=bf16x3
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
  y: f32[T,6] = linear(x, w, b) {dot=bf16x3}
  output y
}
