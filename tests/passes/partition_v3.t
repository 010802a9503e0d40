partition: fewer registers, fewer rows a tile.
--ARGS--
compile @IN@ --stop-after partition --cpu x86-64-v3
--IN--
include linear.ir K=8 W=f32[64,8]
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[64,8] init=ones
  kernel pack_w {part=rows} {
    t1: f32[2,8,32] = pack(w) {panel=32}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {tile=2, part=grid, pieces=16} {
    y: f32[T,64] = linear(x, t1) {out=64, matmul=emitted}
  }
  output y
}
