fuse: a layernorm whose input is read elsewhere, or is another norm's, is a kernel of its own.
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
  weight b: f32[8] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  g = gelu_erf(x)
  u = layernorm(g, n, b) {eps=1e-05}
  r = rmsnorm(u) {eps=1e-05}
  c = add(g, a)
  y = add(r, c)
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
  weight b: f32[8] init=ones
  weight w: f32[8,8] init=ones
  kernel pack_w {
    t1: f32[1,8,16] = pack(w) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
    g: f32[T,8] = gelu_erf(x)
  }
  kernel w {
    a: f32[T,8] = linear(x, t1) {out=8, matmul=emitted}
    c: f32[T,8] = add(g, a)
  }
  kernel norm {
    u: f32[T,8] = layernorm(g, n, b) {eps=1e-05}
  }
  kernel norm {
    r: f32[T,8] = rmsnorm(u) {eps=1e-05}
    y: f32[T,8] = add(r, c)
  }
  output y
}
