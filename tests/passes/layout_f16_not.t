layout: weights stored as f16 are widened for a product in f32.
--ARGS--
compile @IN@ --stop-after layout --dtype f32 --cpu znver4
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
  t1: f32[70,64] = cast(w) {to=f32}
  t2: f32[3,64,32] = pack(t1) {panel=32}
  y: f32[T,70] = linear(x, t2) {out=70, matmul=emitted}
  output y
}

--COUNT--
pack 1 cast 1
