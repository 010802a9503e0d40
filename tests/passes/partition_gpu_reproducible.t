partition: where bits must not depend on how a text is split, decode has the products of prefill.
--ARGS--
compile @IN@ --stop-after partition --device sm_80 --reproducible --entry decode
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
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel u {product=fma_128x64, small=fma_32x32} {
    a: f32[T,2048] = linear(x, u) {matmul=emitted}
    b: f32[T,2048] = silu(a)
  }
  kernel d {product=fma_128x64, small=fma_32x32} {
    c: f32[T,8] = linear(b, d) {matmul=emitted}
  }
  kernel take {
    p: f32[R,8] = take(c, pick)
  }
  kernel lm_head {product=fma_128x64, small=fma_32x32} {
    y: f32[R,16] = linear(p, h) {matmul=emitted}
  }
  output y
}
