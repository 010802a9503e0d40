fuse: the ops of a lowered ssd cannot be torn apart by another kernel.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight A: f32[8] init=ones
  state s: f32[8,8,1]
  x: f32[T,8] = embed(ids, e)
  a = chunk_decay(x, A) {chunk=8}
  b = silu(a)
  c = chunk_state(x, x, b, a) {heads=8, head_dim=1, groups=1, state=8, chunk=8}
  d = state_pass(c, a, s) {chunk=8}
  q = chunk_cb(x, x) {groups=1, state=8, chunk=8}
  y = chunk_out(q, a, b, x, x, d, _) {heads=8, head_dim=1, groups=1, state=8, chunk=8}
  output y
}
--ERR--
the ops of a lowered ssd are one kernel: `a` is read by another kernel, or by a second chunk_state, before the group is complete
--EXIT--
2
