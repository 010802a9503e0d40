quantise: compile.group is that of 4-bit weights too, and at most a row.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --set compile.group=96 --cpu znver4
--IN--
include linear.ir K=60 W=f32[6,60]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,60] init=ones
  weight w: f32[6,60] init=ones
  x: f32[T,60] = embed(ids, e)
  t1: i8[T,60], t2: f32[T,1] = quantise(x)
  t3: u4[6,60], t4: bf16[6,1], t5: bf16[6,1] = quantise_u4(w) {group=64}
  y: f32[T,6] = linear_u4(t1, t2, t3, t4, t5) {group=64}
  output y
}

--COUNT--
linear_u4 1
