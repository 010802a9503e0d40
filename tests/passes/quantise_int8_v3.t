quantise: precise columns are f32 where the machine has no dot of bf16.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --cpu x86-64-v3
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
  dt: f32[T,6] = linear(x, w) {first=64, rows=6}
  t4: i8[T,64], t5: f32[T,1] = quantise(x)
  t6: i8[64,64], t7: f32[64,1] = quantise_i8(w) {rows=64}
  t8: f32[T,64] = linear_i8(t4, t5, t6, t7)
  z: f32[T,64] = split(t8) {sizes=[64]}
  h: f32[R,64] = take(z, pick)
  q: f32[R,6] = take(dt, pick)
  output h
  output q
}

--COUNT--
linear 1 linear_i8 1 cast 0
