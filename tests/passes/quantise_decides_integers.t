quantise: in formats of integers a linear whose columns decide stays f32, as others that are marked precise do not.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight g: f32[4,64] init=ones
  weight w: f32[4,64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  s = linear(x, g)
  c, p = route(s) {top=2, score=softmax, normalise=1}
  a = experts(x, c, w)
  y = mul(a, p)
  f = fold(y) {top=2}
  r = linear(f, g) {precise=4}
  o = take(r, pick)
  output o
}
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
  weight w: f32[4,64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  s: f32[T,4] = linear(x, g)
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: u4[4,64,64], t4: bf16[4,64,2], t5: bf16[4,64,2] = quantise_u4(w) {group=32}
  a: f32[T*2,64] = experts_u4(t1, t2, c, t3, t4, t5) {group=32}
  y: f32[T*2,64] = mul(a, p)
  f: f32[T,64] = fold(y) {top=2}
  t7: bf16[4,64] = cast(g) {to=bf16}
  t8: bf16[T,64] = cast(f) {to=bf16}
  r: f32[T,4] = linear(t8, t7)
  o: f32[R,4] = take(r, pick)
  output o
}
