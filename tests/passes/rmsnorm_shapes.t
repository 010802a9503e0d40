rmsnorm: what its weight must look like, and where that comes from.
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
  weight v: f32[4] init=ones
  weight m: f32[2,4] init=ones
  x = embed(ids, e)
  y1 = rmsnorm(x, v) {eps=1e-5}
  y2 = rmsnorm(x, v) {eps=1e-5, groups=4}
  y3 = rmsnorm(x, m) {eps=1e-5, groups=2}
  y4 = rmsnorm(x, v) {eps=1e-5, groups=3}
  o = take(x, pick)
  output o
}
--ERR--
error: `rmsnorm`: operand 2, `v`, is f32[4], expected [8]: one factor for each column of operand 1
error: `rmsnorm`: operand 2, `v`, is f32[4], expected [8]: one factor for each column of operand 1, or [2], one for each of a group
error: `rmsnorm`: operand 2, `m`, is f32[2,4], expected [8]: one factor for each column of operand 1, or [4], one for each of a group
error: `rmsnorm`: 8 columns do not divide into groups=3
--EXIT--
2
