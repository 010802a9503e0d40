layout: a weight stored as bf16 is widened before it is packed for an f32 product.
--ARGS--
compile @IN@ --stop-after layout --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: bf16[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y = linear(x, w)
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  phase prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: bf16[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  t1: f32[6,8] = cast(w) {to=f32}
  t2: f32[1,8,16] = pack(t1) {panel=16}
  y: f32[T,6] = linear(x, t2) {out=6, matmul=emitted}
  output y
}
