fuse: a CPU makes the steps dt of all heads once.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4 --dtype bf16 --entry decode
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  weight e: f32[16,26] init=ones
  weight A_log: f32[2] init=a_log
  weight b: f32[2] init=ones
  state s: f32[2,4,8]
  all = embed(ids, e)
  x, B, C, d = split(all) {sizes=[16, 4, 4, 2]}
  t = add(d, b)
  dt = softplus(t)
  y = ssd(x, dt, A_log, B, C, _, s) {heads=2, head_dim=8, groups=1, state=4, form=recurrent}
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  weight e: f32[16,26] init=ones
  weight A_log: f32[2] init=a_log
  weight b: f32[2] init=ones
  state s: f32[2,4,8]
  kernel init_A_log {
    t1: f32[2] = exp(A_log)
    t2: f32[2] = neg(t1)
  }
  kernel embed {
    all: f32[T,26] = embed(ids, e)
  }
  x: f32[T,16], B: f32[T,4], C: f32[T,4], d: f32[T,2] = split(all) {sizes=[16, 4, 4, 2]}
  kernel dt {
    t: f32[T,2] = add(d, b)
    dt: f32[T,2] = softplus(t)
  }
  kernel ssd {
    y: f32[T,16] = ssd_scan(x, dt, t2, B, C, _, s) {groups=1, heads=2, head_dim=8, state=4}
  }
  output y
}
