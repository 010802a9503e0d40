lower_ssd: without products of four warps there is no ssd_starts.
--ARGS--
compile @IN@ --stop-after lower_ssd --chunk 64 --device sm_80 --dtype bf16
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[34,8] init=ones
  weight A_log: f32[2] init=ones
  weight D: f32[2] init=ones
  state s: f32[2,16,4]
  x: f32[T,8] = embed(ids, e)
  p: f32[T,34] = linear(x, w)
  q: f32[T,2], B: f32[T,16], C: f32[T,16] = split(p) {sizes=[2, 16, 16]}
  dt: f32[T,2] = softplus(q)
  t1: f32[2] = exp(A_log)
  t2: f32[2] = neg(t1)
  t3: f32[T,2] = chunk_decay(dt, t2) {chunk=64}
  t4: f32[T,1,Q64] = chunk_cb(C, B) {groups=1, state=16, chunk=64, dot=bf16}
  t5: f32[ceil(T/64),2,16,4] = chunk_state(B, x, dt, t3) {groups=1, heads=2, head_dim=4, state=16, chunk=64, dot=bf16}
  t6: f32[ceil(T/64),2,16,4] = state_pass(t5, t3, s) {chunk=64}
  y: f32[T,8] = chunk_out(t4, t3, dt, x, C, t6, D) {groups=1, heads=2, head_dim=4, state=16, chunk=64, dot=bf16}
  output y
}
