choose_matmul: our kernel, unless the table, the attribute or the option says blas.
--ARGS--
compile @IN@ --stop-after choose_matmul --cpu x86-64-v4
--IN--
include linear_linear.ir W=6 MORE=" {matmul=blas}"
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
  a: f32[T,6] = linear(x, w) {matmul=emitted}
  y: f32[T,8] = linear(a, v) {matmul=blas}
  output y
}
