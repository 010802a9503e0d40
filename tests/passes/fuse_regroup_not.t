A weight whose rows are put in another order is packed by a kernel of its own: only whole numbers and their scales are packed
where they are made.
--ARGS--
compile @IN@ --emit plan --cpu x86-64-v3
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[12,8] init=ones
  weight b: f32[12] init=ones
  x = embed(ids, e)
  r = regroup(w) {sizes=[3, 3], groups=2, factors=[1, 0.5]}
  s = regroup(b) {sizes=[3, 3], groups=2}
  y = linear(x, r, s)
  o = take(y, pick)
  output o
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  slab_bytes 5120
  param_bytes 960
  output_bytes 192
  input ids: i32[T] @input+0/1
  input pick: i32[R] @input+0/1
  weight e: f32[16,8] init=ones
  weight w: f32[12,8] init=ones
  weight b: f32[12] init=ones
  kernel regroup_w {part=rows} {
    r: f32[12,8] @param+0/8 = regroup(w) {groups=2, factors=[1, 0.5], sizes=[3, 3]}
  }
  kernel regroup_b {part=rows} {
    s: f32[12] @param+384/12 = regroup(b) {groups=2, sizes=[3, 3]}
  }
  kernel pack_w {part=rows} {
    t1: f32[1,8,16] @param+448/128 = pack(r) {panel=16}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,8] @slab+0/8 = embed(ids, e)
  }
  kernel w {tile=6, part=grid, pieces=16} {
    y: f32[T,12] @slab+2048/12 = linear(x, t1, s) {out=12, matmul=emitted}
  }
  kernel take {part=rows, pieces=4} {
    o: f32[R,12] @output+0/12 = take(y, pick)
  }
  output o
}
