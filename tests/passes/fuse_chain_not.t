fuse: pointwise ops on a piece of another kernel's value are a kernel of their own.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a, b = split(x) {sizes=[4, 4]}
  c = silu(a)
  y = mul(c, b)
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
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  a: f32[T,4], b: f32[T,4] = split(x) {sizes=[4, 4]}
  kernel y {
    c: f32[T,4] = silu(a)
    y: f32[T,4] = mul(c, b)
  }
  output y
}
