layout: weights of emitted linears are packed in panels of 1 to 4 vectors.
--ARGS--
compile @IN@ --stop-after layout --cpu x86-64-v4
--IN--
include linear_linear.ir W=1160
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[1160,8] init=ones
  weight v: f32[8,1160] init=ones
  x: f32[T,8] = embed(ids, e)
  t1: f32[37,8,32] = pack(w) {panel=32}
  a: f32[T,1160] = linear(x, t1) {out=1160, matmul=emitted}
  t2: f32[1,1160,16] = pack(v) {panel=16}
  y: f32[T,8] = linear(a, t2) {out=8, matmul=emitted}
  output y
}
