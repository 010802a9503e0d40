quantise: precise columns that no split takes apart become whole numbers with the others.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  p = linear(x, w) {precise=6}
  y = silu(p)
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
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[70,64], t4: f32[70,1] = quantise_i8(w)
  p: f32[T,70] = linear_i8(t1, t2, t3, t4)
  y: f32[T,70] = silu(p)
  output y
}

--LACKS--
precise
--COUNT--
linear 0 linear_i8 1
