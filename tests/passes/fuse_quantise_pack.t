fuse: whole numbers of a weight, their scales and the packing of both are one kernel, with the norm weight before.
--ARGS--
compile @IN@ --stop-after fuse --dtype int4 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight n: f32[64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  y = linear(u, w)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight n: f32[64] init=ones
  weight w: f32[6,64] init=ones
  kernel pack_w {
    t1: f32[6,64] = mul(w, n)
    t4: u4[6,64], t5: bf16[6,2], t6: bf16[6,2] = quantise_u4(t1) {group=32}
    t8: u4x2[1,8,16,4] = pack(t4) {group=32, panel=16}
    t9: bf16[1,1,16,2] = pack(t5) {panel=16}
    t10: bf16[1,1,16,2] = pack(t6) {panel=16}
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
  }
  kernel norm {
    u: f32[T,64] = rmsnorm(x) {eps=1e-05}
    t2: i8[T,64], t3: f32[T,1] = quantise(u)
  }
  kernel w {
    y: f32[T,6] = linear_u4(t2, t3, t8, t9, t10) {out=6, group=32}
  }
  output y
}

--COUNT--
mul 1 quantise_u4 1 pack 3 kernel 4
