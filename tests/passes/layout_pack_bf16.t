layout: bf16 weights are packed in pairs.
--ARGS--
compile @IN@ --stop-after layout --dtype bf16 --cpu x86-64-v4
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
  t1: bf16[6,8] = cast(w) {to=bf16}
  t2: bf16[T,8] = cast(x) {to=bf16}
  t3: bf16[1,4,16,2] = pack(t1) {panel=16}
  y: f32[T,6] = linear(t2, t3) {out=6, matmul=emitted}
  output y
}
