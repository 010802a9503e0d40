experts in packed and quantised forms: one matrix of a stack has no rows of its own choosing, and sizes are those of every matrix.
--ARGS--
compile @IN@ --stop-after layout
--IN--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[8,4,8] init=ones
  x = embed(ids, e)
  c, p = route(x) {top=2, score=softmax}
  a = pack(w) {first=1, panel=16}
  b = pack(w) {panel=16}
  y = experts(x, c, b) {out=17}
  y1 = experts(x, c, b) {out=4}
  q, s = quantise_i8(w) {rows=2}
  q1, s1 = quantise_i8(w)
  xq, xs = quantise(x)
  y2 = experts_i8(xq, xs, c, q1, xs)
  y3 = experts_i8(x, xs, c, q1, s1)
  y4 = experts_i8(xq, xs, p, q1, s1)
  y5 = experts_i8(xq, xs, c, e, s1)
  n = pack(e) {panel=16}
  y6 = experts(x, c, n) {out=4}
  o = take(x, pick)
  output o
}
--ERR--
error: `pack`: first and rows pick rows of one matrix; `w` is f32[8,4,8]
error: `experts`: operand 3, `b`, is f32[8,1,8,16], expected f32[8,2,8,16]: out=17 columns in panels of 16, x has 8 columns
error: `quantise_i8`: first and rows pick rows of one matrix; `w` is f32[8,4,8]
error: `experts_i8`: operand 5, `xs`, is an activation, expected a weight, or a value made from weights only
error: `experts_i8`: operand 1, `x`, is f32[T,8], expected i8[T,K]: it is one quantised row per token
error: `experts_i8`: operand 3, `p`, is f32[T*2,1], expected i32[T*k]: it is the expert of each row
error: `experts_i8`: operand 3, `c`, is chosen among 8 experts; the weight has 16
error: `experts`: operand 2, `c`, is chosen among 8 experts; the weight has 1
--EXIT--
2
