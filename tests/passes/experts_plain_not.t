codegen: experts whose weight is not packed have no code.
--ARGS--
compile @IN@ --cpu x86-64-v4 --emit asm
--IN--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  slab_bytes 8192
  output_bytes 128
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8,8] init=ones
  kernel rows {part=rows} { x: f32[T,8] @slab+0/8 = embed(ids, e) }
  kernel route {part=rows} { c: i32[T*1] @slab+2048/1, p: f32[T*1,1] = route(x) {top=1, score=softmax} }
  kernel w {part=cols} { y: f32[T*1,8] @slab+4096/8 = experts(x, c, w) }
  kernel fold {part=rows} { f: f32[T,8] @slab+6144/8 = fold(y) {top=1} }
  kernel take {part=rows} { o: f32[R,8] @output+0/8 = take(f, pick) }
  output o
}
--ERR--
error: the weight of `experts` is f32[8,8,8]; emitted code reads one packed in panels of at most 32 vectors (pass layout)
--EXIT--
2
