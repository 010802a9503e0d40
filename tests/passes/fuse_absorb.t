fuse: a gate computed apart is taken into the projection that it is multiplied with.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[4,4] init=ones
  x: f32[T,8] = embed(ids, e)
  p, z = split(x) {sizes=[4, 4]}
  g = silu(z)
  a = linear(p, w)
  b = silu(a)
  y = mul(b, g)
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
  weight w: f32[4,4] init=ones
  kernel pack_w {
    t1: f32[1,4,16] = pack(w) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  p: f32[T,4], z: f32[T,4] = split(x) {sizes=[4, 4]}
  kernel w {
    g: f32[T,4] = silu(z)
    a: f32[T,4] = linear(p, t1) {out=4, matmul=emitted}
    b: f32[T,4] = silu(a)
    y: f32[T,4] = mul(b, g)
  }
  output y
}
