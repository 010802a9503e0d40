canon: nodes that differ in an attribute, in the order of a subtraction, or that own a state, stay apart.
--ARGS--
compile @IN@ --stop-after canon --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,1,4] init=ones
  state s1: f32[3,8]
  state s2: f32[3,8]
  x: f32[T,8] = embed(ids, e)
  a = clamp(x) {range=[0, 1]}
  b = clamp(x) {range=[0, 2]}
  c = sub(a, b)
  d = sub(b, a)
  f = conv1d(c, w, _, s1)
  g = conv1d(c, w, _, s2)
  h = add(f, g)
  y = add(h, d)
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
  weight w: f32[8,1,4] init=ones
  state s1: f32[3,8]
  state s2: f32[3,8]
  x: f32[T,8] = embed(ids, e)
  a: f32[T,8] = clamp(x) {range=[0, 1]}
  b: f32[T,8] = clamp(x) {range=[0, 2]}
  c: f32[T,8] = sub(a, b)
  d: f32[T,8] = sub(b, a)
  f: f32[T,8] = conv1d(c, w, _, s1)
  g: f32[T,8] = conv1d(c, w, _, s2)
  h: f32[T,8] = add(f, g)
  y: f32[T,8] = add(h, d)
  output y
}
