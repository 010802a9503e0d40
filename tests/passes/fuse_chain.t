fuse: a chain of pointwise ops joins the kernel that makes its first operand.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight b: f32[8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = add(x, b)
  c = softplus(a)
  y = clamp(c) {range=[0.1, 4]}
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
  weight b: f32[8] init=ones
  kernel embed {
    x: f32[T,8] = embed(ids, e)
    a: f32[T,8] = add(x, b)
    c: f32[T,8] = softplus(a)
    y: f32[T,8] = clamp(c) {range=[0.1, 4]}
  }
  output y
}
