conv_columns: the first columns, too.
--ARGS--
compile @IN@ --stop-after conv_columns --device sm_90a --dtype bf16 --entry decode
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  weight e: f32[16,24] init=ones
  weight w: f32[40,24] init=ones
  weight k: f32[24,1,4] init=ones
  state s: f32[3,24]
  h = embed(ids, e)
  p = linear(h, w)
  u, z = split(p) {sizes=[24, 16]}
  c = conv1d(u, k, _, s)
  a = silu(c)
  g = concat(z, a)
  output g
}
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
  u: f32[T,24], z: f32[T,16] = split(p) {sizes=[24, 16]}
  c: f32[T,24] = conv1d(p, k, _, s) {column=0}
  a: f32[T,24] = silu(c)
  g: f32[T,40] = concat(z, a)
  output g
}
