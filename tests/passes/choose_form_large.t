choose_form: a large state takes chunks, of the length that is predicted to take least time.
--ARGS--
compile @IN@ --stop-after choose_form --dtype bf16 --cpu znver4
--IN--
include ssd.ir D=64 W=129 H=1 N=64 P=64
--EXPECT--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[129,64] init=ones
  weight A_log: f32[1] init=ones
  weight D: f32[1] init=ones
  state s: f32[1,64,64]
  x: f32[T,64] = embed(ids, e)
  p: f32[T,129] = linear(x, w)
  q: f32[T,1], B: f32[T,64], C: f32[T,64] = split(p) {sizes=[1, 64, 64]}
  dt: f32[T,1] = softplus(q)
  y: f32[T,64] = ssd(x, dt, A_log, B, C, D, s) {groups=1, heads=1, head_dim=64, state=64, form=chunked, chunk=24, dot=bf16}
  output y
}
