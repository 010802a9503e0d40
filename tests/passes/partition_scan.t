partition: a scan without heads is divided by channels.
--ARGS--
compile @IN@ --stop-after partition --cpu x86-64-v4
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
  o = linear(m, q)
  output o
}
--CONTAINS--
  kernel selective_scan {part=cols, pieces=4} {
