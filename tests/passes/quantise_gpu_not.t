quantise: single tokens keep f32 between a GPU's kernels.
--ARGS--
compile @IN@ --stop-after quantise --device sm_80 --dtype bf16 --entry decode
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry decode
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[34,8] init=ones
  weight A_log: f32[2] init=ones
  weight D: f32[2] init=ones
  state s: f32[2,16,4]
  x: f32[T,8] = embed(ids, e)
  t5: bf16[34,8] = cast(w) {to=bf16}
  t6: bf16[T,8] = cast(x) {to=bf16}
  p: f32[T,34] = linear(t6, t5)
  q: f32[T,2], B: f32[T,16], C: f32[T,16] = split(p) {sizes=[2, 16, 16]}
  dt: f32[T,2] = softplus(q)
  t1: f32[2] = exp(A_log)
  t2: f32[2] = neg(t1)
  y: f32[T,8] = ssd_scan(x, dt, t2, B, C, D, s) {groups=1, heads=2, head_dim=4, state=16}
  output y
}
