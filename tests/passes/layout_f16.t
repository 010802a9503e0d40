layout: weights stored as f16 stay f16 where that is the format.
--ARGS--
compile @IN@ --stop-after layout --dtype f16 --cpu znver4
--IN--
include linear.ir K=64 W=f16[70,64]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f16[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: f16[2,64,64] = pack(w) {panel=64}
  y: f32[T,70] = linear(x, t1) {out=70, matmul=emitted}
  output y
}

--COUNT--
pack 1 cast 0
