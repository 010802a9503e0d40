fold_params: the weight of a norm goes into every linear that reads it.
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
  weight w: f32[6,8] init=ones
  weight v: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  a = linear(u, w)
  b = linear(u, v)
  y = add(a, b)
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
  weight w: f32[6,8] init=ones
  weight v: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u: f32[T,8] = rmsnorm(x) {eps=1e-05}
  t1: f32[6,8] = mul(w, n)
  a: f32[T,6] = linear(u, t1)
  t2: f32[6,8] = mul(v, n)
  b: f32[T,6] = linear(u, t2)
  y: f32[T,6] = add(a, b)
  output y
}
