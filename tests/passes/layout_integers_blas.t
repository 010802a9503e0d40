layout: whole numbers are packed whoever multiplies the real ones.
--ARGS--
compile @IN@ --stop-after layout --dtype int8 --matmul blas --cpu znver4
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
  t12: bf16[1,32,16,2] = pack(t4) {first=64, rows=6, panel=16}
  dt: f32[T,6] = linear(t5, t12) {out=6, first=64, rows=6, matmul=emitted}
  t6: i8[T,64], t7: f32[T,1] = quantise(x)
  t8: i8[64,64], t9: f32[64,1] = quantise_i8(w) {rows=64}
  t13: u8[1,16,64,4] = pack(t8) {panel=64}
  t14: f32[1,1,64] = pack(t9) {panel=64}
  z: f32[T,64] = linear_i8(t6, t7, t13, t14) {out=64}
  h: f32[R,64] = take(z, pick)
  q: f32[R,6] = take(dt, pick)
  output h
  output q
}

--COUNT--
pack 3 linear_i8 1 linear 1
