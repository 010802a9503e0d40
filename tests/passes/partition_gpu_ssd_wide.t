partition: a state of more than 128 rows is multiplied by four warps as one of fewer is, and a sequence is cut into as many parts.
--ARGS--
compile @IN@ --stop-after partition --chunk 64 --device sm_90a --dtype bf16
--IN--
include ssd.ir D=8 W=290 H=2 N=144 P=4
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[290,8] init=ones
  weight A_log: f32[2] init=ones
  weight D: f32[2] init=ones
  state s: f32[2,144,4]
  kernel init_w {part=rows} {
    t10: bf16[290,8] = cast(w) {to=bf16}
  }
  kernel init_A_log {part=rows} {
    t1: f32[2] = exp(A_log)
    t2: f32[2] = neg(t1)
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
    t11: bf16[T,8] = cast(x) {to=bf16}
  }
  kernel w {product=stream_16x8} {
    p: f32[T,290] = linear(t11, t10) {matmul=emitted}
    t12: bf16[T,290] = cast(p) {to=bf16}
  }
  q: bf16[T,2], B: bf16[T,144], C: bf16[T,144] = split(t12) {sizes=[2, 144, 144]}
  kernel dt {
    dt: f32[T,2] = softplus(q)
  }
  kernel ssd_starts {
    t6: f32[264,2,144,4] = ssd_starts(x, dt, t2, B, s) {groups=1, heads=2, head_dim=4, state=144, chunk=64, dot=bf16, parts=132}
  }
  kernel ssd {unit=matrix} {
    t3: f32[T,2] = chunk_decay(dt, t2) {chunk=64}
    t4: f32[T,1,Q64] = chunk_cb(C, B) {groups=1, state=144, chunk=64, dot=bf16}
    t5: f32[ceil(T/64),2,144,4] = chunk_state(B, x, dt, t3) {groups=1, heads=2, head_dim=4, state=144, chunk=64, dot=bf16}
    t7: f32[ceil(T/64),2,144,4] = state_pass(t5, t3, s, t6) {chunk=64}
    y: f32[T,8] = chunk_out(t4, t3, dt, x, C, t7, D) {groups=1, heads=2, head_dim=4, state=144, chunk=64, dot=bf16}
  }
  output y
}
