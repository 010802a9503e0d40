fuse: values with another number of rows for each token are another kernel's, as wide as they may be.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight g: f32[4,8] init=ones
  weight w: f32[4,8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  s = linear(x, g)
  c, p = route(s) {top=2, score=softmax}
  d, q = route(s) {top=3, score=softmax}
  a = experts(x, c, w)
  b = experts(x, d, w)
  y = mul(a, p)
  f = fold(y) {top=2}
  h = fold(b) {top=3}
  r = add(f, h)
  t = add(r, x)
  o = take(t, pick)
  output o
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight g: f32[4,8] init=ones
  weight w: f32[4,8,8] init=ones
  kernel pack_g {
    t1: f32[1,8,16] = pack(g) {panel=16}
  }
  kernel pack_w {
    t2: f32[4,1,8,16] = pack(w) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel g {
    s: f32[T,4] = linear(x, t1) {out=4, matmul=emitted}
  }
  kernel route {
    c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax}
  }
  kernel route {
    d: i32[T*3], q: f32[T*3,1] = route(s) {top=3, score=softmax}
  }
  kernel w {
    a: f32[T*2,8] = experts(x, c, t2) {out=8}
    y: f32[T*2,8] = mul(a, p)
  }
  kernel w {
    b: f32[T*3,8] = experts(x, d, t2) {out=8}
  }
  kernel fold {
    f: f32[T,8] = fold(y) {top=2}
  }
  kernel fold {
    h: f32[T,8] = fold(b) {top=3}
    r: f32[T,8] = add(f, h)
    t: f32[T,8] = add(r, x)
  }
  kernel take {
    o: f32[R,8] = take(t, pick)
  }
  output o
}
--COUNT--
fold 2 experts 2
