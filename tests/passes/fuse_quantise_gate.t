fuse: quantise takes the pointwise nodes that it alone reads.
--ARGS--
compile @IN@ --stop-after fuse --dtype int8 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight v: f32[128,64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  p = linear(x, v)
  a, z = split(p) {sizes=[64, 64]}
  g = silu(z)
  m = mul(a, g)
  y = linear(m, w)
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
  weight v: f32[128,64] init=ones
  weight w: f32[6,64] init=ones
  kernel pack_v {
    t3: i8[128,64], t4: f32[128,1] = quantise_i8(v)
    t11: u8[2,16,64,4] = pack(t3) {panel=64}
    t12: f32[2,1,64] = pack(t4) {panel=64}
  }
  kernel pack_w {
    t8: i8[6,64], t9: f32[6,1] = quantise_i8(w)
    t13: u8[1,16,16,4] = pack(t8) {panel=16}
    t14: f32[1,1,16] = pack(t9) {panel=16}
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
  }
  kernel quantise {
    t1: i8[T,64], t2: f32[T,1] = quantise(x)
  }
  kernel v {
    p: f32[T,128] = linear_i8(t1, t2, t11, t12) {out=128}
  }
  a: f32[T,64], z: f32[T,64] = split(p) {sizes=[64, 64]}
  kernel quantise {
    g: f32[T,64] = silu(z)
    m: f32[T,64] = mul(a, g)
    t6: i8[T,64], t7: f32[T,1] = quantise(m)
  }
  kernel w {
    y: f32[T,6] = linear_i8(t6, t7, t13, t14) {out=6}
  }
  output y
}

--COUNT--
kernel 7 silu 1 quantise 2
