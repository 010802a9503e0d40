fuse: a product of parameters that two kernels make from is made by each.
--ARGS--
compile @IN@ --stop-after fuse --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight n: f32[64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  p = linear(u, w) {precise=6}
  z, dt = split(p) {sizes=[64, 6]}
  h = take(z, pick)
  q = take(dt, pick)
  output h
  output q
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight n: f32[64] init=ones
  weight w: f32[70,64] init=ones
  kernel pack_w {
    t1: f32[70,64] = mul(w, n)
    t5: bf16[70,64] = cast(t1) {to=bf16}
    t13: bf16[1,32,16,2] = pack(t5) {first=64, rows=6, panel=16}
  }
  kernel pack_w {
    t16: f32[70,64] = mul(w, n)
    t9: i8[64,64], t10: f32[64,1] = quantise_i8(t16) {rows=64}
    t14: u8[1,16,64,4] = pack(t9) {panel=64}
    t15: f32[1,1,64] = pack(t10) {panel=64}
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
  }
  kernel norm {
    u: f32[T,64] = rmsnorm(x) {eps=1e-05}
    t6: bf16[T,64] = cast(u) {to=bf16}
    t7: i8[T,64], t8: f32[T,1] = quantise(u)
  }
  kernel dt {
    dt: f32[T,6] = linear(t6, t13) {out=6, first=64, rows=6, matmul=emitted}
  }
  kernel w {
    z: f32[T,64] = linear_i8(t7, t8, t14, t15) {out=64}
  }
  kernel take {
    h: f32[R,64] = take(z, pick)
  }
  kernel take {
    q: f32[R,6] = take(dt, pick)
  }
  output h
  output q
}

--COUNT--
mul 2 pack 3
