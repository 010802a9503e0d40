choose_form: a small state takes the recurrent form: it is predicted to take least time.
--ARGS--
compile @IN@ --stop-after choose_form --cpu x86-64-v4
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--EXPECT--
graph "t" model {
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
  y: f32[T,8] = ssd(x, dt, A_log, B, C, D, s) {groups=1, heads=2, head_dim=4, state=16, form=recurrent}
  output y
}
