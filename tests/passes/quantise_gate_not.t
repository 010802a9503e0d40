quantise: a chain of pointwise ops ends where two ops read what it makes: that is kept as bf16.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[128,64] init=ones
  weight k: f32[64,1,4] init=ones
  state s: f32[3,64]
  x: f32[T,64] = embed(ids, e)
  p = linear(x, w)
  z, u = split(p) {sizes=[64, 64]}
  c = conv1d(u, k, _, s)
  g = silu(z)
  h = mul(z, g)
  v = silu(c)
  y = mul(v, h)
  n = rmsnorm(y) {eps=1e-05}
  output n
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[128,64] init=ones
  weight k: f32[64,1,4] init=ones
  state s: f32[3,64]
  kernel pack_w {
    t4: bf16[128,64] = cast(w) {to=bf16}
    t10: bf16[2,32,32,2] = pack(t4) {first=64, rows=64, panel=32}
  }
  kernel pack_w {
    t13: bf16[128,64] = cast(w) {to=bf16}
    t11: bf16[2,32,32,2] = pack(t13) {rows=64, panel=32}
  }
  kernel transpose_k {
    t12: f32[4,64] = transpose(k)
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
    t5: bf16[T,64] = cast(x) {to=bf16}
  }
  kernel w_conv1d {
    u: f32[T,64] = linear(t5, t10) {out=64, first=64, rows=64, matmul=emitted}
    c: f32[T,64] = conv1d(u, t12, _, s)
    v: f32[T,64] = silu(c)
  }
  kernel w {
    z: f32[T,64] = linear(t5, t11) {out=64, rows=64, matmul=emitted}
    t8: bf16[T,64] = cast(z) {to=bf16}
    g: f32[T,64] = silu(t8)
    h: f32[T,64] = mul(t8, g)
    y: f32[T,64] = mul(v, h)
  }
  kernel norm {
    n: f32[T,64] = rmsnorm(y) {eps=1e-05}
  }
  output n
}
--COUNT--
linear 2 split 0
