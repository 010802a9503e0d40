memplan: what a kernel writes is never placed over what it reads, even elementwise.
--ARGS--
compile @IN@ --stop-after memplan --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a, b = split(x) {sizes=[4, 4]}
  c = silu(a)
  d, f = split(c) {sizes=[2, 2]}
  g = exp(d)
  y = take(g, pick)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  slab_bytes 3072
  output_bytes 64
  input ids: i32[T] @input+0/1
  input pick: i32[R] @input+0/1
  weight e: f32[16,8] init=ones
  kernel embed {part=rows, pieces=4} {
    x: f32[T,8] @slab+0/8 = embed(ids, e)
  }
  a: f32[T,4] @slab+0/8, b: f32[T,4] @slab+16/8 = split(x) {sizes=[4, 4]}
  kernel c {part=rows, pieces=4} {
    c: f32[T,4] @slab+2048/4 = silu(a)
  }
  d: f32[T,2] @slab+2048/4, f: f32[T,2] @slab+2056/4 = split(c) {sizes=[2, 2]}
  kernel g {part=rows, pieces=4} {
    g: f32[T,2] @slab+0/2 = exp(d)
  }
  kernel take {part=rows, pieces=4} {
    y: f32[R,2] @output+0/2 = take(g, pick)
  }
  output y
}
