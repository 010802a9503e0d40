fold_params: factors before a linear, a number or one a column, go into its weight.
--ARGS--
compile @IN@ --stop-after fold_params --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight n: f32[8] init=ones
  weight f: f32[8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  a = mul(u, 0.5)
  b = mul(f, a)
  y = linear(b, w)
  output y
}
--EXPECT--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight n: f32[8] init=ones
  weight f: f32[8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = rmsnorm(x) {eps=1e-05}
  t1: f32[6,8] = mul(w, f)
  t2: f32[6,8] = mul(t1, 0.5)
  t3: f32[6,8] = mul(t2, n)
  y: f32[T,6] = linear(u, t3)
  output y
}
