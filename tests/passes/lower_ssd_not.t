lower_ssd: a graph without an ssd only changes its stage.
--ARGS--
compile @IN@ --stop-after lower_ssd --cpu x86-64-v4
--IN--
include activation.ir
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y: f32[T,8] = silu(x)
  output y
}
