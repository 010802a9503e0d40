partition: tiles of whole numbers follow the registers.
--ARGS--
compile @IN@ --stop-after partition --dtype int8 --cpu x86-64-v3
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
    t3: i8[128,64], t4: f32[128,1] = quantise_i8(w)
    t6: u8[8,16,16,4] = pack(t3) {panel=16}
    t7: f32[8,1,16] = pack(t4) {panel=16}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,64] = embed(ids, e)
  }
  kernel quantise {part=rows, pieces=4} {
    t1: i8[T,64], t2: f32[T,1] = quantise(x)
  }
  kernel w {tile=4, part=grid, pieces=16} {
    y: f32[T,128] = linear_i8(t1, t2, t6, t7) {out=128}
  }
  output y
}

