divide: a projection of a gate and of what it gates is two beside a matrix unit, so that their product runs in an epilogue; factors and other ops on the way are no hindrance.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: f32[128,32] init=ones
  weight w2: f32[128,32] init=ones
  weight d: f32[32,64] init=ones
  x: f32[T,32] = embed(ids, e)
  a, up = split(linear(x, w)) {sizes=[64, 64]}
  h = linear(mul(silu(mul(a, 0.5)), up), d)
  up2, a2 = split(linear(h, w2)) {sizes=[64, 64]}
  h2 = linear(mul(gelu(a2), up2), d)
  y = take(h2, pick)
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
  weight e: f32[16,32] init=ones
  weight w: f32[128,32] init=ones
  weight w2: f32[128,32] init=ones
  weight d: f32[32,64] init=ones
  kernel pack_w {
    t14: bf16[128,32] = cast(w) {to=bf16}
    t30: bf16[2,16,32,2] = pack(t14) {first=64, rows=64, panel=32}
  }
  kernel pack_w {
    t36: bf16[128,32] = cast(w) {to=bf16}
    t31: bf16[2,16,32,2] = pack(t36) {rows=64, panel=32}
  }
  kernel pack_d {
    t18: bf16[32,64] = cast(d) {to=bf16}
    t32: bf16[1,32,32,2] = pack(t18) {panel=32}
  }
  kernel pack_w2 {
    t20: bf16[128,32] = cast(w2) {to=bf16}
    t33: bf16[2,16,32,2] = pack(t20) {first=64, rows=64, panel=32}
  }
  kernel pack_w2 {
    t35: bf16[128,32] = cast(w2) {to=bf16}
    t34: bf16[2,16,32,2] = pack(t35) {rows=64, panel=32}
  }
  kernel embed {
    x: f32[T,32] = embed(ids, e)
    t15: bf16[T,32] = cast(x) {to=bf16}
  }
  kernel up {
    up: f32[T,64] = linear(t15, t30) {out=64, first=64, rows=64, matmul=emitted}
    t26: bf16[T,64] = cast(up) {to=bf16}
  }
  kernel w {
    a: f32[T,64] = linear(t15, t31) {out=64, rows=64, matmul=emitted}
    t2: f32[T,64] = mul(a, 0.5)
    t3: f32[T,64] = silu(t2)
    t4: f32[T,64] = mul(t3, t26)
    t19: bf16[T,64] = cast(t4) {to=bf16}
  }
  kernel d {
    h: f32[T,32] = linear(t19, t32) {out=32, matmul=emitted}
    t21: bf16[T,32] = cast(h) {to=bf16}
  }
  kernel a {
    a2: f32[T,64] = linear(t21, t33) {out=64, first=64, rows=64, matmul=emitted}
    t6: f32[T,64] = gelu(a2)
    t27: bf16[T,64] = cast(t6) {to=bf16}
  }
  kernel w2 {
    up2: f32[T,64] = linear(t21, t34) {out=64, rows=64, matmul=emitted}
    t7: f32[T,64] = mul(t27, up2)
    t25: bf16[T,64] = cast(t7) {to=bf16}
  }
  kernel d {
    h2: f32[T,32] = linear(t25, t32) {out=32, matmul=emitted}
  }
  kernel take {
    y: f32[R,32] = take(h2, pick)
  }
  output y
}
--COUNT--
split 0
