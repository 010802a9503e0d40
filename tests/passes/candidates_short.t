Short rows of logits are as soon copied as candidates: there are none.
--ARGS--
compile @IN@ --stop-after candidates --device sm_80
--IN--
graph "t" model {
  weights "init:reference"
  block 512
  rows 8
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[128,8] init=ones
  weight h: f32[128,8] init=ones
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
  weight e: f32[128,8] init=ones
  weight h: f32[128,8] init=ones
  x: f32[T,8] = embed(ids, e)
  p: f32[R,8] = take(x, pick)
  logits: f32[R,128] = linear(p, h) {matmul=emitted}
  output logits
}
