quantise: states of an SSD are kept in bf16 on request, those of a convolution are not.
--ARGS--
compile @IN@ --stop-after quantise --state-dtype bf16 --entry decode --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,22] init=ones
  weight k: f32[22,1,4] init=ones
  weight A: f32[2] init=ones
  state c: f32[3,22]
  state h: f32[2,4,4]
  all: f32[T,22] = embed(ids, e)
  u = conv1d(all, k, _, c)
  x, dt, B, C, rest = split(u) {sizes=[8, 2, 4, 4, 4]}
  y = ssd(x, dt, A, B, C, _, h) {heads=2, head_dim=4, groups=1, state=4}
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry decode
  input ids: i32[T]
  weight e: f32[16,22] init=ones
  weight k: f32[22,1,4] init=ones
  weight A: f32[2] init=ones
  state c: f32[3,22]
  state h: bf16[2,4,4]
  all: f32[T,22] = embed(ids, e)
  u: f32[T,22] = conv1d(all, k, _, c)
  x: f32[T,8], dt: f32[T,2], B: f32[T,4], C: f32[T,4], rest: f32[T,4] = split(u) {sizes=[8, 2, 4, 4, 4]}
  t1: f32[2] = exp(A)
  t2: f32[2] = neg(t1)
  y: f32[T,8] = ssd_scan(x, dt, t2, B, C, _, h) {groups=1, heads=2, head_dim=4, state=4}
  output y
}
--COUNT--
ssd_scan 1 conv1d 1
