layout: a weight that two linears read is packed once.
--ARGS--
compile @IN@ --stop-after layout --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  b = linear(a, w)
  y = linear(b, w)
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  t1: f32[1,8,16] = pack(w) {panel=16}
  a: f32[T,8] = linear(x, t1) {out=8, matmul=emitted}
  b: f32[T,8] = linear(a, t1) {out=8, matmul=emitted}
  y: f32[T,8] = linear(b, t1) {out=8, matmul=emitted}
  output y
}
