delta: what its operands must look like, and where that comes from.
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
  weight b: f32[16,4] init=ones
  weight c: f32[16,2] init=ones
  state s: f32[2,2,4]
  state r: f32[2,4,2]
  state w: f32[2,2,4]
  x = embed(ids, e)
  k = embed(ids, b)
  g = embed(ids, c)
  y1 = delta(x, k, x, g, g, s) {heads=2, head_dim=4, groups=2, state=2, scale=1}
  y2 = delta(k, x, x, g, g, s) {heads=2, head_dim=4, groups=2, state=2, scale=1}
  y3 = delta(k, k, k, g, g, s) {heads=2, head_dim=4, groups=2, state=2, scale=1}
  y4 = delta(k, k, x, x, g, s) {heads=2, head_dim=4, groups=2, state=2, scale=1}
  y5 = delta(k, k, x, g, x, s) {heads=2, head_dim=4, groups=2, state=2, scale=1}
  y6 = delta(k, k, x, g, g, r) {heads=2, head_dim=4, groups=2, state=2, scale=1}
  y7 = delta(k, k, x, g, g, s) {heads=2, head_dim=4, groups=3, state=2, scale=1}
  y8 = delta(k, k, x, g, g, s) {heads=2, head_dim=4, groups=2, state=2}
  y9 = delta(k, k, x, k, g, w) {heads=2, head_dim=4, groups=2, state=2, scale=1, form=chunked, chunk=8}
  o = take(x, pick)
  output o
}
--ERR--
error: `delta`: operand 1, `x`, is f32[T,8], expected f32[T,4]: groups*state = 2*2 = 4
error: `delta`: operand 2, `x`, is f32[T,8], expected f32[T,4]: groups*state = 2*2 = 4
error: `delta`: operand 3, `k`, is f32[T,4], expected f32[T,8]: heads*head_dim = 2*4 = 8
error: `delta`: operand 4, `x`, is f32[T,8], expected f32[T,2]: one column for each of heads=2, or for each of heads*state = 2*2 = 4
error: `delta`: operand 5, `x`, is f32[T,8], expected f32[T,2]: one column for each of heads=2
error: `delta`: operand 6, `r`, is f32[2,4,2], expected f32[2,2,4]: the state is [heads,state,head_dim]
error: `delta`: heads=2 do not divide into groups=3
error: `delta`: form=chunked takes one decay for each of heads=2; with one for each of heads*state = 2*2 = 4 channels the form is recurrent
error: `delta`: attribute `scale` is missing: what scores q . k are multiplied by; delta: what is read
--EXIT--
2
