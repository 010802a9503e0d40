fuse: a sum of two projections joins the later one, which runs when the first is done.
--ARGS--
compile @IN@ --stop-after fuse --cpu x86-64-v4
--IN--
include linear_both.ir K=8 O=8
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  weight v: f32[8,8] init=ones
  kernel pack_w {
    t1: f32[1,8,16] = pack(w) {panel=16}
  }
  kernel pack_v {
    t2: f32[1,8,16] = pack(v) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {
    a: f32[T,8] = linear(x, t1) {out=8, matmul=emitted}
  }
  kernel v {
    b: f32[T,8] = linear(x, t2) {out=8, matmul=emitted}
    y: f32[T,8] = add(a, b)
  }
  output y
}
