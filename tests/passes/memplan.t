memplan: values that leave a kernel have places, reused once nobody needs them; pieces of a split lie in
what is split; values within a kernel have none.
--ARGS--
compile @IN@ --stop-after memplan --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight w: f32[32,8] init=ones
  weight v: f32[16,12] init=ones
  weight r: f32[8,16] init=ones
  weight q: f32[16,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = linear(x, w)
  b, c = split(a) {sizes=[20, 12]}
  d = silu(c)
  f = linear(d, v)
  g = linear(f, r)
  h = take(g, pick)
  y = linear(h, q)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  slab_bytes 13312
  param_bytes 3328
  output_bytes 256
  input ids: i32[T] @input+0/1
  input pick: i32[R] @input+0/1
  weight e: f32[16,8] init=ones
  weight w: f32[32,8] init=ones
  weight v: f32[16,12] init=ones
  weight r: f32[8,16] init=ones
  weight q: f32[16,8] init=ones
  kernel pack_w {part=rows} {
    t1: f32[1,8,32] @param+0/256 = pack(w) {panel=32}
  }
  kernel pack_v {part=rows} {
    t2: f32[1,12,16] @param+1024/192 = pack(v) {panel=16}
  }
  kernel pack_r {part=rows} {
    t3: f32[1,16,16] @param+1792/256 = pack(r) {panel=16}
  }
  kernel pack_q {part=rows} {
    t4: f32[1,8,16] @param+2816/128 = pack(q) {panel=16}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,8] @slab+0/8 = embed(ids, e)
  }
  kernel w {tile=12, part=grid, pieces=16} {
    a: f32[T,32] @slab+2048/32 = linear(x, t1) {out=32, matmul=emitted}
  }
  b: f32[T,20] @slab+2048/32, c: f32[T,12] @slab+2128/32 = split(a) {sizes=[20, 12]}
  kernel d {part=rows, pieces=4} {
    d: f32[T,12] @slab+10240/12 = silu(c)
  }
  kernel v {tile=12, part=grid, pieces=16} {
    f: f32[T,16] @slab+0/16 = linear(d, t2) {out=16, matmul=emitted}
  }
  kernel r {tile=12, part=grid, pieces=16} {
    g: f32[T,8] @slab+4096/8 = linear(f, t3) {out=8, matmul=emitted}
  }
  kernel take {part=rows, pieces=4} {
    h: f32[R,8] @slab+0/8 = take(g, pick)
  }
  kernel lm_head {tile=12, part=grid, pieces=16} {
    y: f32[R,16] @output+0/16 = linear(h, t4) {out=16, matmul=emitted}
  }
  output y
}
