fuse: a gate that something else reads too is a kernel of its own.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[16,8] init=ones
  weight v: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  p = linear(x, w)
  a, z = split(p) {sizes=[8, 8]}
  g = silu(z)
  m = mul(a, g)
  u = rmsnorm(m) {eps=1e-05}
  v1 = linear(u, v)
  y = add(v1, m)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[16,8] init=ones
  weight v: f32[8,8] init=ones
  kernel pack_w {
    t1: f32[1,8,16] = pack(w) {panel=16}
  }
  kernel pack_v {
    t2: f32[1,8,16] = pack(v) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {
    p: f32[T,16] = linear(x, t1) {out=16, matmul=emitted}
  }
  a: f32[T,8], z: f32[T,8] = split(p) {sizes=[8, 8]}
  kernel m {
    g: f32[T,8] = silu(z)
    m: f32[T,8] = mul(a, g)
  }
  kernel norm {
    u: f32[T,8] = rmsnorm(m) {eps=1e-05}
  }
  kernel v {
    v1: f32[T,8] = linear(u, t2) {out=8, matmul=emitted}
    y: f32[T,8] = add(v1, m)
  }
  output y
}
