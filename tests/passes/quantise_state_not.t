quantise: a state stays as it is: f32 where nothing is asked for, bf16 where the text says so.
--ARGS--
compile @IN@ --stop-after quantise --entry decode --cpu znver4
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
  state g: bf16[2,4,4]
  all: f32[T,22] = embed(ids, e)
  u = conv1d(all, k, _, c)
  x, dt, B, C, rest = split(u) {sizes=[8, 2, 4, 4, 4]}
  y = ssd(x, dt, A, B, C, _, h) {heads=2, head_dim=4, groups=1, state=4}
  z = ssd(y, dt, A, B, C, _, g) {heads=2, head_dim=4, groups=1, state=4}
  output z
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
  state h: f32[2,4,4]
  state g: bf16[2,4,4]
  all: f32[T,22] = embed(ids, e)
  u: f32[T,22] = conv1d(all, k, _, c)
  x: f32[T,8], dt: f32[T,2], B: f32[T,4], C: f32[T,4], rest: f32[T,4] = split(u) {sizes=[8, 2, 4, 4, 4]}
  t1: f32[2] = exp(A)
  t2: f32[2] = neg(t1)
  y: f32[T,8] = ssd_scan(x, dt, t2, B, C, _, h) {groups=1, heads=2, head_dim=4, state=4}
  t5: f32[2] = exp(A)
  t6: f32[2] = neg(t5)
  z: f32[T,8] = ssd_scan(y, dt, t6, B, C, _, g) {groups=1, heads=2, head_dim=4, state=4}
  output z
}
--COUNT--
ssd_scan 2 conv1d 1
