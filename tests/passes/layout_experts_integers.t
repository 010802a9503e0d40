layout: integers of experts and their scales are packed in panels of one width.
--ARGS--
compile @IN@ --stop-after layout --dtype int4 --cpu znver4
--IN--
include experts.ir K=64 O=40
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight g: f32[4,64] init=ones
  weight w: f32[4,40,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: bf16[4,64] = cast(g) {to=bf16}
  t2: bf16[T,64] = cast(x) {to=bf16}
  t9: bf16[1,32,16,2] = pack(t1) {panel=16}
  s: f32[T,4] = linear(t2, t9) {out=4, matmul=emitted}
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  t3: i8[T,64], t4: f32[T,1] = quantise(x)
  t5: u4[4,40,64], t6: bf16[4,40,2], t7: bf16[4,40,2] = quantise_u4(w) {group=32}
  t10: u4x2[4,1,8,64,4] = pack(t5) {group=32, panel=64}
  t11: bf16[4,1,1,64,2] = pack(t6) {panel=64}
  t12: bf16[4,1,1,64,2] = pack(t7) {panel=64}
  a: f32[T*2,40] = experts_u4(t3, t4, c, t10, t11, t12) {out=40, group=32}
  b: f32[T*2,40] = silu(a)
  y: f32[T*2,40] = mul(b, p)
  f: f32[T,40] = fold(y) {top=2}
  o: f32[R,40] = take(f, pick)
  output o
}
--COUNT--
pack 4 experts_u4 1
