quantise: without a matrix unit that multiplies bf16 a linear stays f32, and a note says so.
--ARGS--
compile @IN@ --stop-after quantise --cpu x86-64-v4 --set compile.dot=bf16x3
--IN--
include linear.ir K=8 W=f32[6,8]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  x: f32[T,8] = embed(ids, e)
  y: f32[T,6] = linear(x, w)
  output y
}
--ERR--
note: compile.dot=bf16x3: no matrix unit multiplies bf16 for x86-64-v4, so its vectors multiply f32
