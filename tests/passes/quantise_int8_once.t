quantise: what two linears read is quantised once, and a weight that two read is.
--ARGS--
compile @IN@ --stop-after choose_matmul --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  weight v: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  s = silu(x)
  a = linear(x, w)
  b = linear(x, v)
  c = linear(s, w)
  d = add(a, b)
  y = add(c, d)
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  weight v: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  s: f32[T,64] = silu(x)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[6,64], t4: f32[6,1] = quantise_i8(w)
  a: f32[T,6] = linear_i8(t1, t2, t3, t4)
  t6: i8[6,64], t7: f32[6,1] = quantise_i8(v)
  b: f32[T,6] = linear_i8(t1, t2, t6, t7)
  t9: i8[T,64], t10: f32[T,1] = quantise(s)
  c: f32[T,6] = linear_i8(t9, t10, t3, t4)
  d: f32[T,6] = add(a, b)
  y: f32[T,6] = add(c, d)
  output y
}

--COUNT--
linear_i8 3 quantise 2 quantise_i8 2
