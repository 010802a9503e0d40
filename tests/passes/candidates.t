A GPU gives the likeliest ids of each row of logits beside them, for those who ask for them.
--ARGS--
compile @IN@ --stop-after candidates --device sm_80
--IN--
graph "t" model {
  weights "init:reference"
  block 512
  rows 8
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[200,8] init=ones
  weight h: f32[200,8] init=ones
  x = embed(ids, e)
  p = take(x, pick)
  logits = linear(p, h)
  output logits
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 512
  rows 8
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[200,8] init=ones
  weight h: f32[200,8] init=ones
  x: f32[T,8] = embed(ids, e)
  p: f32[R,8] = take(x, pick)
  logits: f32[R,200] = linear(p, h) {matmul=emitted}
  likeliest.1: f32[R,2], likeliest.1.ids: i32[R,1] = likeliest(logits) {top=1}
  likeliest.64: f32[R,128], likeliest.64.ids: i32[R,64] = likeliest(logits) {top=64}
  output logits
  output likeliest.1
  output likeliest.1.ids
  output likeliest.64
}
