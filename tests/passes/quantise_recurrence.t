quantise: beside a matrix unit ops that compute read what a recurrence makes as bf16, by one cast.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --form recurrent --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,34] init=ones
  weight A: f32[2] init=ones
  state h: f32[2,4,8]
  all: f32[T,34] = embed(ids, e)
  x, dt, B, C, z = split(all) {sizes=[16, 2, 4, 4, 8]}
  y = ssd(x, dt, A, B, C, _, h) {heads=2, head_dim=8, groups=1, state=4}
  a = silu(y)
  b = mul(y, a)
  u = rmsnorm(b) {eps=1e-05}
  output u
}
--CONTAINS--
    t5: bf16[T,16] = cast(y) {to=bf16}
  }
  kernel gate_norm {
    a: f32[T,16] = silu(t5)
    b: f32[T,16] = mul(t5, a)
