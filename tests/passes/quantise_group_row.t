quantise: a group as long as a row, or longer, is the row.
--ARGS--
compile @IN@ --stop-after quantise --dtype int8 --set compile.group=64 --cpu znver4
--IN--
include linear.ir K=64 W=f32[6,64]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[6,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[6,64], t4: f32[6,1] = quantise_i8(w)
  y: f32[T,6] = linear_i8(t1, t2, t3, t4)
  output y
}

--LACKS--
group
--COUNT--
linear_i8 1
