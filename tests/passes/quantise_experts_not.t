quantise: in f32 experts stay as they are.
--ARGS--
compile @IN@ --stop-after quantise --cpu x86-64-v4
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
  s: f32[T,4] = linear(x, g)
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  a: f32[T*2,40] = experts(x, c, w)
  b: f32[T*2,40] = silu(a)
  y: f32[T*2,40] = mul(b, p)
  f: f32[T,40] = fold(y) {top=2}
  o: f32[R,40] = take(f, pick)
  output o
}
--COUNT--
experts 1 cast 0
