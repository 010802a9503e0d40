selective_scan: what its operands must look like, and where that comes from.
--ARGS--
compile @IN@
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight b: f32[16,3] init=ones
  weight A: f32[3,8] init=ones
  weight W: f32[8,3] init=ones
  weight v: f32[3] init=ones
  state s: f32[3,8]
  state r: f32[8,3]
  x = embed(ids, e)
  B = embed(ids, b)
  y1 = selective_scan(x, x, W, B, B, _, s)
  y2 = selective_scan(x, B, A, B, B, _, s)
  y3 = selective_scan(x, x, A, x, B, _, s)
  y4 = selective_scan(x, x, A, B, B, v, s)
  y5 = selective_scan(x, x, A, B, B, _, r)
  t = transpose(v)
  o = take(x, pick)
  output o
}
--ERR--
error: `selective_scan`: operand 3, `W`, is f32[8,3], expected [N,8]: operand 1, `x`, has 8 channels
error: `selective_scan`: operand 2, `B`, is f32[T,3], expected f32[T,8]: operand 1, `x`, has 8 channels
error: `selective_scan`: operand 4, `x`, is f32[T,8], expected f32[T,3]: operand 3, `A`, has N = 3 rows
error: `selective_scan`: operand 6, `v`, is f32[3], expected [8]: operand 1, `x`, has 8 channels
error: `selective_scan`: operand 7, `r`, is f32[8,3], expected f32[3,8]: one number for each of A
error: `transpose`: operand 1, `v`, is f32[3], expected [C,1,K] or [C,K]: it is the weight of a convolution, or a matrix
--EXIT--
2
