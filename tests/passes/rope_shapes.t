angles, rope: what their operands and attributes must look like.
--ARGS--
compile @IN@
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  input positions: i32[T]
  weight e: f32[16,24] init=ones
  x = embed(ids, e)
  a = angles(positions) {rotary=8, theta=10000}
  w = angles(positions) {rotary=16, theta=10000}
  a1 = angles(x) {rotary=8, theta=10000}
  a2 = angles(positions) {rotary=7, theta=10000}
  a3 = angles(positions) {rotary=8, theta=1}
  a4 = angles(positions) {rotary=8, theta=10000, scaling=ntk}
  a5 = angles(positions) {rotary=8, theta=10000, scaling=llama3, factors=[8, 1]}
  a6 = angles(positions) {rotary=8, theta=10000, scaling=linear, factors=[0]}
  a7 = angles(positions) {rotary=8, theta=10000, factors=[2]}
  a8 = angles(positions) {rotary=8, theta=10000, scaling=longrope, factors=[2, 2, 2]}
  a9 = angles(positions) {rotary=8, theta=10000, scaling=longrope, factors=[2, 2, 0, 1]}
  y1 = rope(x, a) {head_dim=7}
  y2 = rope(x, w) {head_dim=12}
  y3 = rope(x, e) {head_dim=12}
  b = embed(positions, e)
  o = take(x, pick)
  output o
}
--ERR--
error: `angles`: operand 1, `x`, is f32[T,24], expected i32[T]: these are positions
error: `angles`: rotary=7; channels are turned in pairs
error: `angles`: theta is above 1
error: `angles`: the attribute is {scaling=ntk}, expected one of: none linear llama3 yarn longrope
error: `angles`: scaling=llama3 takes 4 factors, not 2
error: `angles`: factor 1 of scaling=linear is not above 0
error: `angles`: scaling=none takes 0 factors, not 1
error: `angles`: scaling=longrope takes 4 factors, not 3
error: `angles`: factor 3 of scaling=longrope is not above 0
error: `rope`: 24 columns do not divide into heads of head_dim=7
error: `rope`: 16 angles turn pairs of a head's 12 channels
error: `rope`: operand 2, `e`, is a weight, expected an activation
error: `embed`: operand 1, `positions`, is an input, expected the input `ids: i32[T]`, token ids
--EXIT--
2
