fuse: a gate that a norm reads is the norm's prologue, not the scan's epilogue.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight A_log: f32[8,3] init=a_log_states
  weight p: f32[30,8] init=ones
  weight q: f32[6,8] init=ones
  state s: f32[3,8]
  h = embed(ids, e)
  all = linear(h, p)
  x, z, dt, B, C = split(all) {sizes=[8, 8, 8, 3, 3]}
  A = transpose(-exp(A_log))
  y = selective_scan(x, dt, A, B, C, _, s)
  g = silu(z)
  m = mul(y, g)
  u = rmsnorm(m) {eps=1e-05}
  o = linear(u, q)
  output o
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight A_log: f32[8,3] init=a_log_states
  weight p: f32[30,8] init=ones
  weight q: f32[6,8] init=ones
  state s: f32[3,8]
  kernel pack_p {
    t3: f32[1,8,32] = pack(p) {panel=32}
  }
  kernel transpose_A_log {
    t1: f32[8,3] = exp(A_log)
    t2: f32[8,3] = neg(t1)
    A: f32[3,8] = transpose(t2)
  }
  kernel pack_q {
    t4: f32[1,8,16] = pack(q) {panel=16}
  }
  kernel embed {
    h: f32[T,8] = embed(ids, e)
  }
  kernel p {
    all: f32[T,30] = linear(h, t3) {out=30, matmul=emitted}
  }
  x: f32[T,8], z: f32[T,8], dt: f32[T,8], B: f32[T,3], C: f32[T,3] = split(all) {sizes=[8, 8, 8, 3, 3]}
  kernel selective_scan {
    y: f32[T,8] = selective_scan(x, dt, A, B, C, _, s)
  }
  kernel gate_norm {
    g: f32[T,8] = silu(z)
    m: f32[T,8] = mul(y, g)
    u: f32[T,8] = rmsnorm(m) {eps=1e-05}
  }
  kernel q {
    o: f32[T,6] = linear(u, t4) {out=6, matmul=emitted}
  }
  output o
}
