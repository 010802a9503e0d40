factor_norm: the norm before a projection of single tokens is a factor of its rows on a GPU; what its kernel reads is rounded where it is made.
--ARGS--
compile @IN@ --stop-after fuse --device sm_90a --dtype bf16 --entry decode
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: f32[32,32] init=ones
  weight v: f32[16,32] init=ones
  h = embed(ids, e)
  u = rmsnorm(h) {eps=1e-05}
  o = linear(u, w)
  g = add(h, o)
  l = take(g, pick)
  n = rmsnorm(l) {eps=0.001}
  y = linear(n, v)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: f32[32,32] init=ones
  weight v: f32[16,32] init=ones
  kernel init_w {
    t1: bf16[32,32] = cast(w) {to=bf16}
  }
  kernel init_v {
    t3: bf16[16,32] = cast(v) {to=bf16}
  }
  kernel embed {
    h: f32[T,32] = embed(ids, e)
    t2: bf16[T,32] = cast(h) {to=bf16}
  }
  kernel w {
    o: f32[T,32] = linear(t2, t1) {eps=1e-05, matmul=emitted}
    g: f32[T,32] = add(h, o)
  }
  kernel take {
    l: f32[R,32] = take(g, pick)
    t4: bf16[R,32] = cast(l) {to=bf16}
  }
  kernel lm_head {
    y: f32[R,16] = linear(t4, t3) {eps=0.001, matmul=emitted}
  }
  output y
}
