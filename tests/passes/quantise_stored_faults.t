A weight lies in blocks that there are, in whole groups.
--ARGS--
compile @IN@ --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,32] init=ones
  weight w: f32[8,32] init=ones blocks=Q3_X
  weight v: f32[8,40] init=ones blocks=Q8_0
  x: f32[T,32] = embed(ids, e)
  y = linear(x, w)
  output y
}
--ERR--
@IN@:7:33: error: a weight of type f32[8,32] lies in no blocks Q3_X; they are Q8_0, Q5_0, Q6_K, Q4_0, Q4_1, Q4_K or other, of f32 rows that are whole groups
@IN@:8:33: error: a weight of type f32[8,40] lies in no blocks Q8_0
--EXIT--
2
