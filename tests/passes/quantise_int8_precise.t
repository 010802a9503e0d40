quantise: precise columns that a split takes apart stay real numbers, with their rows of the weight and of the bias.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  weight b: f32[70] init=ones
  x: f32[T,64] = embed(ids, e)
  p = linear(x, w, b) {precise=6}
  z, v, dt = split(p) {sizes=[32, 32, 6]}
  a = mul(z, v)
  h = take(a, pick)
  q = take(dt, pick)
  output h
  output q
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
  weight w: f32[70,64] init=ones
  weight b: f32[70] init=ones
  x: f32[T,64] = embed(ids, e)
  t5: bf16[70,64] = cast(w) {to=bf16}
  t6: bf16[T,64] = cast(x) {to=bf16}
  dt: f32[T,6] = linear(t6, t5, b) {first=64, rows=6}
  t7: i8[T,64], t8: f32[T,1] = quantise(x)
  t9: i8[64,64], t10: f32[64,1] = quantise_i8(w) {rows=64}
  t11: f32[T,64] = linear_i8(t7, t8, t9, t10, b)
  z: f32[T,32], v: f32[T,32] = split(t11) {sizes=[32, 32]}
  a: f32[T,32] = mul(z, v)
  h: f32[R,32] = take(a, pick)
  q: f32[R,6] = take(dt, pick)
  output h
  output q
}

--COUNT--
linear 1 linear_i8 1 split 1
