concat and spread: what their operands and attributes must be.
--ARGS--
compile @IN@
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,10] init=ones
  weight f: f32[3] init=ones
  x = embed(ids, e)
  t = take(x, pick)
  y1 = concat(x, t)
  y2 = concat(x, f)
  y3 = concat(x, x) {groups=3}
  y4 = concat(x, x) {groups=0}
  y5 = spread(e) {repeat=2}
  y6 = spread(x) {repeat=2}
  y7 = spread(f) {repeat=1099511627776}
  y8 = spread(f)
  output t
}
--ERR--
error: `concat`: the rows of f32[R,10] are not those of f32[T,10]
error: `concat`: operand 2, `f`, is a weight, expected an activation
error: `concat`: 10 columns do not divide into groups=3
error: `concat`: the attribute is {groups=0}, expected a whole number from 1 to 2^40
error: `spread`: operand 1, `e`, is f32[16,10], expected [W]: each of its numbers is repeated
error: `spread`: operand 1, `x`, is an activation, expected a weight, or a value made from weights only
error: `spread`: repeat=1099511627776 times 3 numbers are above the largest size, 2^40
error: `spread`: attribute `repeat` is missing: regroup: ranges of rows, one behind the other, that are each put in order; 1 without it, of all rows; spread: how often each number stands
--EXIT--
2
