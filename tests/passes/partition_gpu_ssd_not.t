partition: a state of more than 256 rows has no room in the registers of four warps.
--ARGS--
compile @IN@ --stop-after partition --chunk 64 --device sm_90a --dtype bf16
--IN--
include ssd.ir D=8 W=546 H=2 N=272 P=4
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[546,8] init=ones
  weight A_log: f32[2] init=ones
  weight D: f32[2] init=ones
  state s: f32[2,272,4]
  kernel init_w {part=rows} {
    t9: bf16[546,8] = cast(w) {to=bf16}
  }
  kernel init_A_log {part=rows} {
    t1: f32[2] = exp(A_log)
    t2: f32[2] = neg(t1)
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
    t10: bf16[T,8] = cast(x) {to=bf16}
  }
  kernel w {product=split_64x64x8, small=stream_16x8} {
    p: f32[T,546] = linear(t10, t9) {matmul=emitted}
    t11: bf16[T,546] = cast(p) {to=bf16}
  }
  q: bf16[T,2], B: bf16[T,272], C: bf16[T,272] = split(t11) {sizes=[2, 272, 272]}
  kernel dt {
    dt: f32[T,2] = softplus(q)
  }
  kernel ssd {
    t3: f32[T,2] = chunk_decay(dt, t2) {chunk=64}
    t4: f32[T,1,Q64] = chunk_cb(C, B) {groups=1, state=272, chunk=64, dot=bf16}
    t5: f32[ceil(T/64),2,272,4] = chunk_state(B, x, dt, t3) {groups=1, heads=2, head_dim=4, state=272, chunk=64, dot=bf16}
    t6: f32[ceil(T/64),2,272,4] = state_pass(t5, t3, s) {chunk=64}
    y: f32[T,8] = chunk_out(t4, t3, dt, x, C, t6, D) {groups=1, heads=2, head_dim=4, state=272, chunk=64, dot=bf16}
  }
  output y
}
