divide: precise columns are a linear of their own where the others become integers.
--ARGS--
compile @IN@ --stop-after divide --dtype int8 --cpu znver5
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
  dt: f32[T,6] = linear(x, w) {precise=6, first=64, rows=6}
  t2: f32[T,64] = linear(x, w) {rows=64}
  z: f32[T,64] = split(t2) {sizes=[64]}
  h: f32[R,64] = take(z, pick)
  q: f32[R,6] = take(dt, pick)
  output h
  output q
}
--COUNT--
linear 2 split 1
