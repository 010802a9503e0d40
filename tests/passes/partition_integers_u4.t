partition: two accumulators a result leave room for fewer rows.
--ARGS--
compile @IN@ --stop-after partition --dtype int4 --cpu znver4
--IN--
include linear.ir K=64 W=f32[128,64]
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[128,64] init=ones
  kernel pack_w {part=rows} {
    t3: u4[128,64], t4: bf16[128,2], t5: bf16[128,2] = quantise_u4(w) {group=32}
    t7: u4x2[2,8,64,4] = pack(t3) {group=32, panel=64}
    t8: bf16[2,1,64,2] = pack(t4) {panel=64}
    t9: bf16[2,1,64,2] = pack(t5) {panel=64}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,64] = embed(ids, e)
  }
  kernel quantise {part=rows, pieces=4} {
    t1: i8[T,64], t2: f32[T,1] = quantise(x)
  }
  kernel w {tile=3, part=grid, pieces=16} {
    y: f32[T,128] = linear_u4(t1, t2, t7, t8, t9) {out=128, group=32}
  }
  output y
}

