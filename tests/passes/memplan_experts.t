memplan: values with two rows for each token take two rows for each of the block.
--ARGS--
compile @IN@ --stop-after memplan --cpu x86-64-v4
--IN--
include experts.ir K=64 O=40
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  slab_bytes 38912
  param_bytes 53248
  output_bytes 640
  input ids: i32[T] @input+0/1
  input pick: i32[R] @input+0/1
  weight e: f32[16,64] init=ones
  weight g: f32[4,64] init=ones
  weight w: f32[4,40,64] init=ones
  kernel pack_g {part=rows} {
    t1: f32[1,64,16] @param+0/1024 = pack(g) {panel=16}
  }
  kernel pack_w {part=rows} {
    t2: f32[4,1,64,48] @param+4096/3072 = pack(w) {panel=48}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,64] @slab+0/64 = embed(ids, e)
  }
  kernel g {tile=12, part=grid, pieces=16} {
    s: f32[T,4] @slab+16384/4 = linear(x, t1) {out=4, matmul=emitted}
  }
  kernel route {part=rows, pieces=4} {
    c: i32[T*2] @slab+17408/1, p: f32[T*2,1] @slab+17920/1 = route(s) {top=2, score=softmax, normalise=1}
  }
  kernel w {tile=8, part=grid, pieces=16} {
    a: f32[T*2,40] = experts(x, c, t2) {out=40}
    b: f32[T*2,40] = silu(a)
    y: f32[T*2,40] @slab+18432/40 = mul(b, p)
  }
  kernel fold {part=rows, pieces=4} {
    f: f32[T,40] @slab+0/40 = fold(y) {top=2}
  }
  kernel take {part=rows, pieces=4} {
    o: f32[R,40] @output+0/40 = take(f, pick)
  }
  output o
}
