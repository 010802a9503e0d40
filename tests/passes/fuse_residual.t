fuse: the residual joins the projection before it, even when another kernel reads both.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  weight v: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = rmsnorm(x) {eps=1e-05}
  b = linear(a, w)
  h = add(x, b)
  c = rmsnorm(h) {eps=1e-05}
  d = linear(c, v)
  y = add(h, d)
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
  weight w: f32[8,8] init=ones
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
  kernel norm {
    a: f32[T,8] = rmsnorm(x) {eps=1e-05}
  }
  kernel w {
    b: f32[T,8] = linear(a, t1) {out=8, matmul=emitted}
    h: f32[T,8] = add(x, b)
  }
  kernel norm {
    c: f32[T,8] = rmsnorm(h) {eps=1e-05}
  }
  kernel v {
    d: f32[T,8] = linear(c, t2) {out=8, matmul=emitted}
    y: f32[T,8] = add(h, d)
  }
  output y
}
