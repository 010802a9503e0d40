On a CPU logits lie where ids are drawn from: it makes no candidates.
--ARGS--
compile @IN@ --stop-after candidates --device cpu --cpu x86-64-v3
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
  t1: f32[9,8,24] = pack(h) {panel=24}
  logits: f32[R,200] = linear(p, t1) {out=200, matmul=emitted}
  output logits
}
