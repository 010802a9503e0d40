quantise: a linear whose columns decide stays f32, also through pointwise ops and a split; others do not, on a matrix unit either.
--ARGS--
compile @IN@ --stop-after quantise --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight g: f32[8,64] init=ones
  weight w: f32[4,64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  q = linear(x, g)
  q0, q1 = split(q) {sizes=[4, 4]}
  s = mul(q0, 0.5)
  c, p = route(s) {top=2, score=softmax, normalise=1}
  a = experts(x, c, w)
  y = mul(a, p)
  f = fold(y) {top=2}
  r = linear(f, g)
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
  weight g: f32[8,64] init=ones
  weight w: f32[4,64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  q: f32[T,8] = linear(x, g)
  q0: f32[T,4], q1: f32[T,4] = split(q) {sizes=[4, 4]}
  s: f32[T,4] = mul(q0, 0.5)
  c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  t1: bf16[4,64,64] = cast(w) {to=bf16}
  t2: bf16[T,64] = cast(x) {to=bf16}
  a: f32[T*2,64] = experts(t2, c, t1)
  y: f32[T*2,64] = mul(a, p)
  f: f32[T,64] = fold(y) {top=2}
  t3: bf16[8,64] = cast(g) {to=bf16}
  t4: bf16[T,64] = cast(f) {to=bf16}
  r: f32[T,8] = linear(t4, t3)
  o: f32[R,8] = take(r, pick)
  output o
}
