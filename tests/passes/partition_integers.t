partition: threads divide the columns of whole numbers too; the tile follows from the packed weight.
--ARGS--
compile @IN@ --stop-after partition --dtype int8 --cpu znver4
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
    t6: u8[2,16,64,4] = pack(t3) {panel=64}
    t7: f32[2,1,64] = pack(t4) {panel=64}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,64] = embed(ids, e)
  }
  kernel quantise {part=rows, pieces=4} {
    t1: i8[T,64], t2: f32[T,1] = quantise(x)
  }
  kernel w {tile=6, part=grid, pieces=16} {
    y: f32[T,128] = linear_i8(t1, t2, t6, t7) {out=128}
  }
  output y
}

