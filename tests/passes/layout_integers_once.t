layout: whole numbers that two linears read are packed once.
--ARGS--
compile @IN@ --stop-after layout --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  a = linear(x, w)
  y = linear(a, w)
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[64,64], t4: f32[64,1] = quantise_i8(w)
  t11: u8[1,16,64,4] = pack(t3) {panel=64}
  t12: f32[1,1,64] = pack(t4) {panel=64}
  a: f32[T,64] = linear_i8(t1, t2, t11, t12) {out=64}
  t6: i8[T,64], t7: f32[T,1] = quantise(a)
  y: f32[T,64] = linear_i8(t6, t7, t11, t12) {out=64}
  output y
}

--COUNT--
pack 2 linear_i8 2 quantise_i8 1
