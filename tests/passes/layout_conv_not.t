layout: a convolution weight that is [K,C] already stays.
--ARGS--
compile @IN@ --stop-after layout --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight k: f32[4,8] init=ones
  state s: f32[3,8]
  x: f32[T,8] = embed(ids, e)
  y = conv1d(x, k, _, s)
  output y
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight k: f32[4,8] init=ones
  state s: f32[3,8]
  x: f32[T,8] = embed(ids, e)
  y: f32[T,8] = conv1d(x, k, _, s)
  output y
}
