conv_columns: of long passes, columns that something else reads are read where they lie.
--ARGS--
compile @IN@ --stop-after conv_columns --device sm_90a --dtype bf16 --entry prefill
--IN--
include conv_columns.ir BLOCK=512 K=4 S=3 G="add(a, u)"
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
  t1: bf16[40,24] = cast(w) {to=bf16}
  t2: bf16[T,24] = cast(h) {to=bf16}
  p: f32[T,40] = linear(t2, t1)
  t3: bf16[T,40] = cast(p) {to=bf16}
  z: bf16[T,16], u: bf16[T,24] = split(t3) {sizes=[16, 24]}
  c: f32[T,24] = conv1d(u, k, _, s)
  a: f32[T,24] = silu(c)
  g: f32[T,24] = add(a, u)
  output g
}
