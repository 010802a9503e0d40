fuse: an op whose other operand is made later, from a view, cannot join the projection.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  b, g = split(a) {sizes=[7, 1]}
  c = sigmoid(g)
  y = mul(a, c)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  kernel pack_w {
    t1: f32[1,8,16] = pack(w) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {
    a: f32[T,8] = linear(x, t1) {out=8, matmul=emitted}
  }
  b: f32[T,7], g: f32[T,1] = split(a) {sizes=[7, 1]}
  kernel c {
    c: f32[T,1] = sigmoid(g)
  }
  kernel y {
    y: f32[T,8] = mul(a, c)
  }
  output y
}
