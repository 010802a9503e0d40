layout: the weight of experts is packed, each matrix of it by itself.
--ARGS--
compile @IN@ --stop-after layout --cpu x86-64-v4
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
  t1: f32[1,64,16] = pack(g) {panel=16}
  s: f32[T,4] = linear(x, t1) {out=4, matmul=emitted}
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  t2: f32[4,1,64,48] = pack(w) {panel=48}
  a: f32[T*2,40] = experts(x, c, t2) {out=40}
  b: f32[T*2,40] = silu(a)
  y: f32[T*2,40] = mul(b, p)
  f: f32[T,40] = fold(y) {top=2}
  o: f32[R,40] = take(f, pick)
  output o
}
--COUNT--
pack 2
