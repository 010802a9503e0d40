partition: a tile, a part and pieces that the text gives stay.
--ARGS--
compile @IN@ --stop-after partition --cpu x86-64-v4
--IN--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  kernel pack_w {part=none} {
    p: f32[1,8,16] = pack(w) {panel=16}
  }
  kernel embed {pieces=3} {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {tile=2} {
    y: f32[T,6] = linear(x, p) {out=6}
  }
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[6,8] init=ones
  kernel pack_w {part=none} {
    p: f32[1,8,16] = pack(w) {panel=16}
  }
  kernel embed {part=rows, pieces=3} {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {tile=2, part=grid, pieces=16} {
    y: f32[T,6] = linear(x, p) {out=6}
  }
  output y
}
