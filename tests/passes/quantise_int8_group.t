quantise: groups of inputs share a scale where compile.group says how many.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --set compile.group=16 --cpu znver4
--IN--
include linear.ir K=64 W=f32[6,64]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[6,64], t4: bf16[6,4] = quantise_i8(w) {group=16}
  y: f32[T,6] = linear_i8(t1, t2, t3, t4) {group=16}
  output y
}

--COUNT--
linear_i8 1
