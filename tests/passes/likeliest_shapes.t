likeliest: what its operand must look like, and where that comes from.
--ARGS--
compile @IN@ --device sm_80
--IN--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  x = embed(ids, e)
  p = take(x, pick)
  n = cast(p) {to=bf16}
  a, a2 = likeliest(ids) {top=1}
  b, b2 = likeliest(p) {top=9}
  c, c2 = likeliest(n) {top=1}
  d, d2 = likeliest(p)
  output p
}
--ERR--
error: `likeliest`: operand 1, `ids`, is i32[T], expected a matrix f32[T,width]: this operand is one row per token
error: `likeliest`: top=9 numbers of rows of 8
error: `likeliest`: operand 1, `n`, is bf16[R,8], expected f32: it gives numbers of x as they are
error: `likeliest`: attribute `top` is missing
--EXIT--
2
