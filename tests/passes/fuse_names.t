fuse: a kernel of a recurrence is named after the op that it computes, whatever weights are called.
--ARGS--
compile @IN@ --stop-after fuse --form recurrent --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight selective_scan.weight: f32[34,8] init=ones
  weight A_log: f32[2] init=ones
  weight A: f32[3,8] init=ones
  state s: f32[2,16,4]
  state h: f32[3,8]
  x = embed(ids, e)
  p = linear(x, selective_scan.weight)
  q, B, C = split(p) {sizes=[2, 16, 16]}
  y = ssd(x, q, A_log, B, C, _, s) {heads=2, head_dim=4, groups=1, state=16}
  b, c, rest = split(p) {sizes=[3, 3, 28]}
  z = selective_scan(y, x, A, b, c, _, h)
  last = take(z, pick)
  output last
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight selective_scan.weight: f32[34,8] init=ones
  weight A_log: f32[2] init=ones
  weight A: f32[3,8] init=ones
  state s: f32[2,16,4]
  state h: f32[3,8]
  kernel pack_selective_scan {
    t5: f32[1,8,48] = pack(selective_scan.weight) {panel=48}
  }
  kernel init_A_log {
    t1: f32[2] = exp(A_log)
    t2: f32[2] = neg(t1)
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel selective_scan {
    p: f32[T,34] = linear(x, t5) {out=34, matmul=emitted}
  }
  q: f32[T,2], B: f32[T,16], C: f32[T,16] = split(p) {sizes=[2, 16, 16]}
  b: f32[T,3], c: f32[T,3], rest: f32[T,28] = split(p) {sizes=[3, 3, 28]}
  kernel ssd {
    y: f32[T,8] = ssd_scan(x, q, t2, B, C, _, s) {groups=1, heads=2, head_dim=4, state=16, chunk=32}
  }
  kernel selective_scan {
    z: f32[T,8] = selective_scan(y, x, A, b, c, _, h)
  }
  kernel take {
    last: f32[R,8] = take(z, pick)
  }
  output last
}
