choose_matmul: the option wins over the attribute.
--ARGS--
compile @IN@ --stop-after choose_matmul --matmul blas --cpu x86-64-v4
--IN--
include linear_linear.ir W=6 MORE=" {matmul=emitted}"
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  weight v: f32[8,6] init=ones
  x: f32[T,8] = embed(ids, e)
  a: f32[T,6] = linear(x, w) {matmul=blas}
  y: f32[T,8] = linear(a, v) {matmul=blas}
  output y
}
