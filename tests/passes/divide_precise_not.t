divide: precise columns stay with the others where all are real numbers.
--ARGS--
compile @IN@ --stop-after divide --dtype bf16 --cpu sapphirerapids
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
  p: f32[T,70] = linear(x, w) {precise=6}
  z: f32[T,64], dt: f32[T,6] = split(p) {sizes=[64, 6]}
  h: f32[R,64] = take(z, pick)
  q: f32[R,6] = take(dt, pick)
  output h
  output q
}
--COUNT--
linear 1 split 1
