partition: a GPU with clusters of blocks divides the inputs of more rows among them.
--ARGS--
compile @IN@ --stop-after partition --device sm_90a --dtype bf16 --entry decode
--IN--
include gpu.ir
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 512
  rows 8
  entry decode
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight u: f32[2048,8] init=ones
  weight d: f32[8,2048] init=ones
  weight h: f32[16,8] init=ones
  kernel init_u {part=rows} {
    t1: bf16[2048,8] = cast(u) {to=bf16}
  }
  kernel init_d {part=rows} {
    t3: bf16[8,2048] = cast(d) {to=bf16}
  }
  kernel init_h {part=rows} {
    t5: bf16[16,8] = cast(h) {to=bf16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
    t2: bf16[T,8] = cast(x) {to=bf16}
  }
  kernel u {product=split_64x128x8, small=stream_16x8} {
    a: f32[T,2048] = linear(t2, t1) {matmul=emitted}
    b: f32[T,2048] = silu(a)
    t4: bf16[T,2048] = cast(b) {to=bf16}
  }
  kernel d {product=stream_16x8} {
    c: f32[T,8] = linear(t4, t3) {matmul=emitted}
  }
  kernel take {
    p: f32[R,8] = take(c, pick)
    t6: bf16[R,8] = cast(p) {to=bf16}
  }
  kernel lm_head {product=stream_16x8} {
    y: f32[R,16] = linear(t6, t5) {matmul=emitted}
  }
  output y
}
