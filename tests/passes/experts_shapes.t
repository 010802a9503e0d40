route, experts and fold: what their operands must look like, and where that comes from.
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
  weight b: f32[7] init=ones
  weight w: f32[8,4,8] init=ones
  weight n: f32[6,4,8] init=ones
  weight m: f32[4,8] init=ones
  weight k: f32[8,4,9] init=ones
  x = embed(ids, e)
  c, p = route(x) {top=2, score=softmax}
  d, q = route(x) {top=3, score=softmax}
  r1, s1 = route(x, b) {top=2, score=softmax}
  r2, s2 = route(x) {top=9, score=softmax}
  r3, s3 = route(x) {top=2, score=sigmoid, groups=4}
  r4, s4 = route(x) {top=2, score=sigmoid, groups=3, kept=1}
  r5, s5 = route(x) {top=2, score=sigmoid, groups=2, kept=3}
  r6, s6 = route(x) {top=5, score=sigmoid, groups=4, kept=2}
  r7, s7 = route(x) {top=2, score=rank}
  r8, s8 = route(x) {top=2, score=softmax, normalise=2}
  z = take(x, pick)
  r9, s9 = route(z) {top=2, score=softmax}
  y = experts(x, c, w)
  y1 = experts(x, c, n)
  y2 = experts(x, c, m)
  y3 = experts(x, c, k)
  y4 = experts(x, p, w)
  y5 = experts(x, ids, w)
  v = experts(x, d, w)
  y6 = experts(v, c, w)
  y7 = experts(z, c, w)
  a = add(y, v)
  f1 = fold(y) {top=3}
  f2 = fold(x) {top=1}
  o = take(x, pick)
  output o
}
--ERR--
error: `route`: operand 2, `b`, is f32[7], expected [8]: one number for each expert
error: `route`: top=9 experts are chosen of 8
error: `route`: groups and kept are said together, or neither
error: `route`: 8 experts do not divide into groups=3 of which kept=1
error: `route`: 8 experts do not divide into groups=2 of which kept=3
error: `route`: top=5 experts are chosen of 4
error: `route`: the attribute is {score=rank}, expected one of: softmax sigmoid
error: `route`: the attribute is {normalise=2}, expected 0 or 1
error: `route`: operand 1, `z`, is f32[R,8], expected rows T: this op goes over every token
error: `experts`: operand 2, `c`, is chosen among 8 experts; the weight has 6
error: `experts`: operand 3, `m`, is f32[4,8], expected [E,O,K]: it is the weight
error: `experts`: operand 3, `k`, is f32[8,4,9], expected [E,O,8]: operand 1, `x`, has 8 columns
error: `experts`: operand 2, `p`, is f32[T*2,1], expected i32[T*k]: it is the expert of each row
error: `experts`: operand 2, `ids`, is i32[T], expected i32[T*k]: it is the expert of each row
error: `experts`: operand 1, `v`, is f32[T*3,4], expected rows T or T*2: they go to the experts of operand 2
error: `experts`: operand 1, `z`, is f32[R,8], expected rows T or T*2: they go to the experts of operand 2
error: `add`: operands are f32[T*2,4] and f32[T*3,4]: neither repeats over the other ([rows,W] takes [rows,W], [rows,1], [W] or a number; of weights [E,O,W] takes [W] as well)
error: `fold`: operand 1, `y`, is f32[T*2,4], expected rows T*3: that many of each token are added up, as `top` says
error: `fold`: operand 1, `x`, is f32[T,8], expected rows T*1: that many of each token are added up, as `top` says
--EXIT--
2
