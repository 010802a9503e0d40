fuse: what one kernel of parameters reads, or only activations do, is made once.
--ARGS--
compile @IN@ --stop-after fuse --dtype f32 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight n: f32[64] init=ones
  weight f: f32[64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  a = exp(f)
  b = mul(x, a)
  c = add(b, a)
  u = rmsnorm(c, n) {eps=1e-05}
  y = linear(u, w)
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
  weight n: f32[64] init=ones
  weight f: f32[64] init=ones
  weight w: f32[6,64] init=ones
  kernel init_f {
    a: f32[64] = exp(f)
  }
  kernel pack_w {
    t1: f32[6,64] = mul(w, n)
    t2: f32[1,64,16] = pack(t1) {panel=16}
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
  }
  kernel gate_norm {
    b: f32[T,64] = mul(x, a)
    c: f32[T,64] = add(b, a)
    u: f32[T,64] = rmsnorm(c) {eps=1e-05}
  }
  kernel w {
    y: f32[T,6] = linear(u, t2) {out=6, matmul=emitted}
  }
  output y
}

--COUNT--
mul 2 exp 1 pack 1
