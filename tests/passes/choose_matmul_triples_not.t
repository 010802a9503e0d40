choose_matmul: a linear that says both blas and dot=bf16x3 is emitted; a note says so.
--ARGS--
compile @IN@ --stop-after choose_matmul --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y = linear(x, w) {matmul=blas, dot=bf16x3}
  output y
}
--CONTAINS--
  y: f32[T,6] = linear(x, w) {dot=bf16x3, matmul=emitted}
--ERR--
@IN@:9:7: note: matmul=blas has no bf16 product: bf16 projections use emitted kernels
