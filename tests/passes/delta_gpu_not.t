delta: a GPU has kernels that go token after token; of chunks, where they are asked for, none, which is said.
--ARGS--
compile @IN@ --device sm_90a --emit ptx
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,24] init=ones
  state s: f32[2,3,4]
  all = embed(ids, e)
  q, k, v, g, b = split(all) {sizes=[6, 6, 8, 2, 2]}
  y = delta(q, k, v, g, b, s) {heads=2, head_dim=4, groups=2, state=3, scale=1, form=chunked, chunk=16}
  o = take(y, pick)
  output o
}
--ERR--
error: delta by chunks has no emitter for a GPU: compile for device cpu, or with form=recurrent
--EXIT--
2
