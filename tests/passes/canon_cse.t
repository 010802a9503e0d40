canon: equal nodes are computed once, in either order of a commutative op; splits too.
--ARGS--
compile @IN@ --stop-after canon --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = silu(x)
  b = silu(x)
  c = mul(a, x)
  d = mul(x, b)
  f = add(c, d)
  g, h = split(f) {sizes=[2, 6]}
  i, j = split(f) {sizes=[2, 6]}
  k = silu(h)
  l = silu(j)
  y = add(k, l)
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
  x: f32[T,8] = embed(ids, e)
  a: f32[T,8] = silu(x)
  c: f32[T,8] = mul(a, x)
  f: f32[T,8] = add(c, c)
  g: f32[T,2], h: f32[T,6] = split(f) {sizes=[2, 6]}
  k: f32[T,6] = silu(h)
  y: f32[T,6] = add(k, k)
  output y
}
