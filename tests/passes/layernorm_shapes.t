layernorm, gelu_erf: what their operands must look like, and where that comes from.
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
  weight w: f32[8] init=ones
  weight v: f32[5] init=ones
  weight m: f32[8,8] init=ones
  x = embed(ids, e)
  y1 = layernorm(x, v, w) {eps=1e-5}
  y2 = layernorm(x, w, v) {eps=1e-5}
  y3 = layernorm(x, w, m) {eps=1e-5}
  y4 = layernorm(m, w) {eps=1e-5}
  y8 = gelu_erf(ids)
  o = take(x, pick)
  output o
}
--ERR--
error: `layernorm`: operand 2, `v`, is f32[5], expected [8]: one factor for each column of operand 1
error: `layernorm`: operand 3, `v`, is f32[5], expected [8]: one number to add for each column of operand 1
error: `layernorm`: operand 3, `m`, is f32[8,8], expected [8]: one number to add for each column of operand 1
error: `layernorm`: operand 1, `m`, is a weight, expected an activation
error: `gelu_erf`: operand 1, `ids`, is i32[T], expected real numbers: pointwise ops compute in f32
--EXIT--
2
