quantise: of a split of two pieces one of a single piece is left.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu znver4
--IN--
include linear_split.ir
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
  x: f32[T,64] = embed(ids, e)
  t4: bf16[70,64] = cast(w) {to=bf16}
  t5: bf16[T,64] = cast(x) {to=bf16}
  dt: f32[T,6] = linear(t5, t4) {first=64, rows=6}
  t6: i8[T,64], t7: f32[T,1] = quantise(x)
  t8: i8[64,64], t9: f32[64,1] = quantise_i8(w) {rows=64}
  t10: f32[T,64] = linear_i8(t6, t7, t8, t9)
  z: f32[T,64] = split(t10) {sizes=[64]}
  h: f32[R,64] = take(z, pick)
  q: f32[R,6] = take(dt, pick)
  output h
  output q
}

--COUNT--
linear 1 linear_i8 1 split 1
