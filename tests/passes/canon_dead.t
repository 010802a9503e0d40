canon: what nobody reads goes, and weights with it; what writes a state stays.
--ARGS--
compile @IN@ --stop-after canon --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  weight k: f32[8,1,4] init=ones
  state s: f32[3,8]
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  b = silu(a)
  c = conv1d(x, k, _, s)
  y = silu(x)
  output y
}
--EXPECT--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight k: f32[8,1,4] init=ones
  state s: f32[3,8]
  x: f32[T,8] = embed(ids, e)
  c: f32[T,8] = conv1d(x, k, _, s)
  y: f32[T,8] = silu(x)
  output y
}
