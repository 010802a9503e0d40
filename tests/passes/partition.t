partition: threads divide columns, heads or rows by the class of the anchor; packed projections get a tile, and long passes several parts for each thread.
--ARGS--
compile @IN@ --stop-after partition --chunk 8 --cpu x86-64-v4
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[34,8] init=ones
  weight A_log: f32[2] init=ones
  weight D: f32[2] init=ones
  state s: f32[2,16,4]
  kernel pack_w {part=rows} {
    t9: f32[1,8,48] = pack(w) {panel=48}
  }
  kernel init_A_log {part=rows} {
    t1: f32[2] = exp(A_log)
    t2: f32[2] = neg(t1)
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,8] = embed(ids, e)
  }
  kernel w {tile=8, part=grid, pieces=16} {
    p: f32[T,34] = linear(x, t9) {out=34, matmul=emitted}
  }
  q: f32[T,2], B: f32[T,16], C: f32[T,16] = split(p) {sizes=[2, 16, 16]}
  kernel dt {part=rows, pieces=4} {
    dt: f32[T,2] = softplus(q)
  }
  kernel ssd {part=heads, pieces=4} {
    t3: f32[T,2] = chunk_decay(dt, t2) {chunk=8}
    t4: f32[T,1,Q8] = chunk_cb(C, B) {groups=1, state=16, chunk=8, dot=f32}
    t5: f32[ceil(T/8),2,16,4] = chunk_state(B, x, dt, t3) {groups=1, heads=2, head_dim=4, state=16, chunk=8, dot=f32}
    t6: f32[ceil(T/8),2,16,4] = state_pass(t5, t3, s) {chunk=8}
    y: f32[T,8] = chunk_out(t4, t3, dt, x, C, t6, D) {groups=1, heads=2, head_dim=4, state=16, chunk=8, dot=f32}
  }
  output y
}
