partition: threads divide the columns of another library's product, one part each.
--ARGS--
compile @IN@ --stop-after partition --cpu x86-64-v4
--IN--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {
    y: f32[T,6] = linear(x, w) {matmul=blas}
  }
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
  weight w: f32[6,8] init=ones
  kernel embed {part=rows, pieces=4} {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {part=cols} {
    y: f32[T,6] = linear(x, w) {matmul=blas}
  }
  output y
}
