quantise: linears of one value share its cast after canon has run again.
--ARGS--
compile @IN@ --stop-after choose_matmul --dtype bf16 --cpu x86-64-v4
--IN--
include linear_both.ir K=8 O=6
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  weight v: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  t1: bf16[6,8] = cast(w) {to=bf16}
  t2: bf16[T,8] = cast(x) {to=bf16}
  a: f32[T,6] = linear(t2, t1) {matmul=emitted}
  t3: bf16[6,8] = cast(v) {to=bf16}
  b: f32[T,6] = linear(t2, t3) {matmul=emitted}
  y: f32[T,6] = add(a, b)
  output y
}
