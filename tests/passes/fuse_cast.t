fuse: a cast to bf16 joins the kernel that makes the value.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,8] init=ones
  weight w: f32[8,8] init=ones
  weight v: f32[8,8] init=ones
  x: f32[T,8] = embed(ids, e)
  a = rmsnorm(x) {eps=1e-05}
  b = linear(a, w)
  c = silu(b)
  y = linear(c, v)
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
  weight w: f32[8,8] init=ones
  weight v: f32[8,8] init=ones
  kernel pack_w {
    t1: bf16[8,8] = cast(w) {to=bf16}
    t5: bf16[1,4,16,2] = pack(t1) {panel=16}
  }
  kernel pack_v {
    t3: bf16[8,8] = cast(v) {to=bf16}
    t6: bf16[1,4,16,2] = pack(t3) {panel=16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel norm {
    a: f32[T,8] = rmsnorm(x) {eps=1e-05}
    t2: bf16[T,8] = cast(a) {to=bf16}
  }
  kernel w {
    b: f32[T,8] = linear(t2, t5) {out=8, matmul=emitted}
    c: f32[T,8] = silu(b)
    t4: bf16[T,8] = cast(c) {to=bf16}
  }
  kernel v {
    y: f32[T,8] = linear(t4, t6) {out=8, matmul=emitted}
  }
  output y
}
