conv_columns: a CPU divides the projection instead, or has a kernel of the convolution.
--ARGS--
compile @IN@ --stop-after conv_columns --cpu x86-64-v4 --dtype bf16 --entry decode
--IN--
include conv_columns.ir BLOCK=16 K=4 S=3 G="concat(z, a)"
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  weight e: f32[16,24] init=ones
  weight w: f32[40,24] init=ones
  weight k: f32[24,1,4] init=ones
  state s: f32[3,24]
  h: f32[T,24] = embed(ids, e)
  t1: bf16[40,24] = cast(w) {to=bf16}
  t2: bf16[T,24] = cast(h) {to=bf16}
  p: f32[T,40] = linear(t2, t1)
  z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
  c: f32[T,24] = conv1d(u, k, _, s)
  a: f32[T,24] = silu(c)
  g: f32[T,40] = concat(z, a)
  output g
}
