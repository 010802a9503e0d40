quantise: a linear becomes one over whole numbers; its bias stays f32.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
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
  t3: i8[6,64], t4: f32[6,1] = quantise_i8(w)
  y: f32[T,6] = linear_i8(t1, t2, t3, t4, b)
  output y
}

--COUNT--
linear 0 linear_i8 1 quantise 1 quantise_i8 1
