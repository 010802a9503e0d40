choose_form: a machine without the bf16 dot multiplies f32.
--ARGS--
compile @IN@ --stop-after choose_form --dtype bf16 --cpu x86-64-v4
--IN--
include ssd.ir D=8 W=130 H=2 N=64 P=4 MORE=", chunk=48"
--EXPECT--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[130,8] init=ones
  weight A_log: f32[2] init=ones
  weight D: f32[2] init=ones
  state s: f32[2,64,4]
  x: f32[T,8] = embed(ids, e)
  p: f32[T,130] = linear(x, w)
  q: f32[T,2], B: f32[T,64], C: f32[T,64] = split(p) {sizes=[2, 64, 64]}
  dt: f32[T,2] = softplus(q)
  y: f32[T,8] = ssd(x, dt, A_log, B, C, D, s) {groups=1, heads=2, head_dim=4, state=64, form=chunked, chunk=48, dot=f32}
  output y
}
