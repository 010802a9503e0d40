conv_columns: where multiply-adds of f32 take the time, no row is multiplied twice.
--ARGS--
compile @IN@ --stop-after conv_columns --device sm_90a --dtype f32 --entry prefill
--IN--
include conv_columns.ir BLOCK=512 K=4 S=3 G="concat(z, a)"
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 512
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,24] init=ones
  weight w: f32[40,24] init=ones
  weight k: f32[24,1,4] init=ones
  state s: f32[3,24]
  h: f32[T,24] = embed(ids, e)
  p: f32[T,40] = linear(h, w)
  z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
  c: f32[T,24] = conv1d(u, k, _, s)
  a: f32[T,24] = silu(c)
  g: f32[T,40] = concat(z, a)
  output g
}
