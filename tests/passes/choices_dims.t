Rows for each token: how many there may be, and that they are of tokens.
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
  weight w: f32[8,4,8] init=ones
  x = embed(ids, e)
  t: f32[T*0,8] = neg(x)
  u: f32[T*99999,8] = neg(x)
  v: f32[R*2,8] = neg(x)
  y: f32[T*x,8] = neg(x)
  o = take(x, pick)
  output o
}
--ERR--
error: expected a size from 1 to 2^40, found `0`
error: a token has at most 65536 rows
error: expected `]` after the dimensions, found `*`
error: expected a size from 1 to 2^40, found `x`
--EXIT--
2
