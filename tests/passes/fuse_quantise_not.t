fuse: quantise joins no gather, no product and no piece of a split.
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
  weight w: f32[128,64] init=ones
  weight v: f32[64,64] init=ones
  x: f32[T,64] = embed(ids, e)
  p = linear(x, w)
  a, b = split(p) {sizes=[64, 64]}
  q = linear(a, v)
  y = linear(q, v)
  h = take(b, pick)
  output h
  output y
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
  weight w: f32[128,64] init=ones
  weight v: f32[64,64] init=ones
  kernel pack_w {
    t3: i8[128,64], t4: f32[128,1] = quantise_i8(w)
    t16: u8[2,16,64,4] = pack(t3) {panel=64}
    t17: f32[2,1,64] = pack(t4) {panel=64}
  }
  kernel pack_v {
    t8: i8[64,64], t9: f32[64,1] = quantise_i8(v)
    t18: u8[1,16,64,4] = pack(t8) {panel=64}
    t19: f32[1,1,64] = pack(t9) {panel=64}
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
  }
  kernel quantise {
    t1: i8[T,64], t2: f32[T,1] = quantise(x)
  }
  kernel w {
    p: f32[T,128] = linear_i8(t1, t2, t16, t17) {out=128}
  }
  a: f32[T,64], b: f32[T,64] = split(p) {sizes=[64, 64]}
  kernel quantise {
    t6: i8[T,64], t7: f32[T,1] = quantise(a)
  }
  kernel v {
    q: f32[T,64] = linear_i8(t6, t7, t18, t19) {out=64}
  }
  kernel quantise {
    t11: i8[T,64], t12: f32[T,1] = quantise(q)
  }
  kernel v {
    y: f32[T,64] = linear_i8(t11, t12, t18, t19) {out=64}
  }
  kernel take {
    h: f32[R,64] = take(b, pick)
  }
  output h
  output y
}

--COUNT--
quantise 3
