quantise: both factors of experts are bf16; those of the linear whose columns choose them stay f32.
--ARGS--
compile @IN@ --stop-after quantise --dtype bf16 --cpu znver4
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
  t1: bf16[4,40,64] = cast(w) {to=bf16}
  t2: bf16[T,64] = cast(x) {to=bf16}
  a: f32[T*2,40] = experts(t2, c, t1)
  b: f32[T*2,40] = silu(a)
  y: f32[T*2,40] = mul(b, p)
  f: f32[T,40] = fold(y) {top=2}
  o: f32[R,40] = take(f, pick)
  output o
}
--COUNT--
experts 1 cast 2
