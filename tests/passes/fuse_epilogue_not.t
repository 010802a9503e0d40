fuse: a convolution is a kernel of its own where something stands before it, or something else reads its x.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  weight k: f32[64,1,4] init=ones
  state s: f32[3,64]
  state r: f32[3,64]
  x: f32[T,64] = embed(ids, e)
  u = linear(x, w)
  c = conv1d(u, k, _, s)
  v = mul(u, c)
  u2 = linear(v, w)
  a = silu(u2)
  y = conv1d(a, k, _, r)
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
  weight w: f32[64,64] init=ones
  weight k: f32[64,1,4] init=ones
  state s: f32[3,64]
  state r: f32[3,64]
  kernel pack_w {
    t1: bf16[64,64] = cast(w) {to=bf16}
    t5: bf16[2,32,32,2] = pack(t1) {panel=32}
  }
  kernel transpose_k {
    t6: f32[4,64] = transpose(k)
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
    t2: bf16[T,64] = cast(x) {to=bf16}
  }
  kernel w {
    u: f32[T,64] = linear(t2, t5) {out=64, matmul=emitted}
  }
  kernel k {
    c: f32[T,64] = conv1d(u, t6, _, s)
    v: f32[T,64] = mul(u, c)
    t4: bf16[T,64] = cast(v) {to=bf16}
  }
  kernel w {
    u2: f32[T,64] = linear(t4, t5) {out=64, matmul=emitted}
    a: f32[T,64] = silu(u2)
  }
  kernel k {
    y: f32[T,64] = conv1d(a, t6, _, r)
  }
  output y
}
--COUNT--
linear 2 conv1d 2
