memplan: a pass of prompts on a GPU has as many rows as the description says.
--ARGS--
compile @IN@ --stop-after memplan --device sm_90a --entry prefill
--IN--
graph "t" model {
  weights "init:reference"
  block 16384
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y = silu(x)
  z = take(y, pick)
  output z
}
--CONTAINS--
  block 16384
