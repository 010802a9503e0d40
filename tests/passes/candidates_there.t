A text that has its candidates gets no others.
--ARGS--
compile @IN@ --stop-after candidates --device sm_80
--IN--
graph "t" lowered {
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
  few, which = likeliest(logits) {top=5}
  output logits
  output few
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
  few: f32[R,10], which: i32[R,5] = likeliest(logits) {top=5}
  output logits
  output few
}
