fuse: expressions of parameters are kernels of their own and come first.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight n: f32[8] init=ones
  weight f: f32[8] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  u = rmsnorm(x, n) {eps=1e-05}
  a = neg(f)
  b = exp(a)
  c = mul(x, b)
  d = linear(u, w)
  y = add(c, d)
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
  weight n: f32[8] init=ones
  weight f: f32[8] init=ones
  weight w: f32[8,8] init=ones
  kernel init_f {
    a: f32[8] = neg(f)
    b: f32[8] = exp(a)
  }
  kernel pack_w {
    t1: f32[8,8] = mul(w, n)
    t2: f32[1,8,16] = pack(t1) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel norm {
    u: f32[T,8] = rmsnorm(x) {eps=1e-05}
  }
  kernel w {
    c: f32[T,8] = mul(x, b)
    d: f32[T,8] = linear(u, t2) {out=8, matmul=emitted}
    y: f32[T,8] = add(c, d)
  }
  output y
}
