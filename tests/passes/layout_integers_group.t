layout: groups are those of the weight; scales of two are packed as a pair.
--ARGS--
compile @IN@ --stop-after layout --dtype int8 --set compile.group=24 --cpu znver4
--IN--
include linear.ir K=64 W=f32[70,64]
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[70,64] init=ones
  x: f32[T,64] = embed(ids, e)
  t1: i8[T,64], t2: f32[T,1] = quantise(x)
  t3: i8[70,64], t4: bf16[70,3] = quantise_i8(w) {group=24}
  t6: u8[2,24,64,4] = pack(t3) {group=24, panel=64}
  t7: bf16[2,2,64,2] = pack(t4) {panel=64}
  y: f32[T,70] = linear_i8(t1, t2, t6, t7) {out=70, group=24}
  output y
}

--COUNT--
pack 2 linear_i8 1
