quantise: weights of experts become 4-bit integers with scales and minima for each group of each expert.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --cpu znver4
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
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: u4[4,40,64], t4: bf16[4,40,2], t5: bf16[4,40,2] = quantise_u4(w) {group=32}
  a: f32[T*2,40] = experts_u4(t1, t2, c, t3, t4, t5) {group=32}
  b: f32[T*2,40] = silu(a)
  y: f32[T*2,40] = mul(b, p)
  f: f32[T,40] = fold(y) {top=2}
  o: f32[R,40] = take(f, pick)
  output o
}
--COUNT--
experts 0 experts_u4 1 linear 1 quantise_u4 1
