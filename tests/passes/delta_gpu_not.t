delta: a GPU's kernels hold a column's states in the registers of a warp; more than these have room for are refused.
--ARGS--
compile @IN@ --device sm_90a --emit ptx
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[4,8200] init=ones
  state s: f32[1,4097,4]
  all = embed(ids, e)
  q, k, v, g, b = split(all) {sizes=[4097, 4097, 4, 1, 1]}
  y = delta(q, k, v, g, b, s) {heads=1, head_dim=4, groups=1, state=4097, scale=1}
  o = take(y, pick)
  output o
}
--ERR--
error: delta with 4097 states; code for a GPU is made for at most 4096
--EXIT--
2
