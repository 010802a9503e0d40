regroup and concat: what their operands and attributes must be.
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
  weight w: f32[12,8] init=ones
  x = embed(ids, e)
  r1 = regroup(x) {sizes=[8]}
  r2 = regroup(w) {sizes=[4, 3], groups=2}
  r3 = regroup(w) {sizes=[3, 3], groups=2, factors=[1]}
  r4 = regroup(w) {sizes=[1, 2], groups=2, repeat=3}
  r5 = regroup(w) {sizes=[1, 2], groups=2, repeat=0}
  t = take(x, pick)
  c1 = concat(x, t)
  o = take(x, pick)
  output o
}
--ERR--
error: `regroup`: operand 1, `x`, is an activation, expected a weight, or a value made from weights only
error: `regroup`: 12 rows are not groups=2 of 7 rows
error: `regroup`: 1 factors for 2 sizes
error: `regroup`: 12 rows do not have repeat=3 times groups=2 of 3 rows
error: `regroup`: the attribute is {repeat=0}, expected a whole number from 1 to 2^40
error: `concat`: the rows of f32[R,8] are not those of f32[T,8]
--EXIT--
2
