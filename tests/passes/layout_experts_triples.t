layout: with dot=bf16x3 the weight of experts is packed as sums of two bf16.
--ARGS--
compile @IN@ --stop-after layout --cpu sapphirerapids --set compile.dot=bf16x3
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
  t1: bf16[1,64,32,2] = pack(g) {dot=bf16x3, panel=32}
  s: f32[T,4] = linear(x, t1) {dot=bf16x3, out=4, matmul=emitted}
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  t2: bf16[4,2,64,32,2] = pack(w) {dot=bf16x3, panel=32}
  a: f32[T*2,40] = experts(x, c, t2) {dot=bf16x3, out=40}
  b: f32[T*2,40] = silu(a)
  y: f32[T*2,40] = mul(b, p)
  f: f32[T,40] = fold(y) {top=2}
  o: f32[R,40] = take(f, pick)
  output o
}
--COUNT--
pack 2
