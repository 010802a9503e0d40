fuse: what does not make the result of a lowered ssd smaller is a kernel of its own.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --chunk 8 --cpu znver5
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
  b = silu(y)
  u = mul(b, y)
  output u
}
--CONTAINS--
  kernel u {
    b: f32[T,16] = silu(y)
--COUNT--
kernel 4
