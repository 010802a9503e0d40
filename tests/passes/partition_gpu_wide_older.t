partition: a GPU without wgmma multiplies more rows of very many outputs by mma.
--ARGS--
compile @IN@ --stop-after partition --device sm_80 --dtype bf16 --entry decode
--IN--
graph "t" model {
  weights "init:reference"
  block 512
  rows 8
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight h: f32[33792,8] init=ones
  x = embed(ids, e)
  p = take(x, pick)
  y = linear(p, h)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 512
  rows 8
  entry decode
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  weight h: f32[33792,8] init=ones
  kernel init_h {part=rows} {
    t1: bf16[33792,8] = cast(h) {to=bf16}
  }
  kernel embed {
    x: f32[T,8] = embed(ids, e)
  }
  kernel take {
    p: f32[R,8] = take(x, pick)
    t2: bf16[R,8] = cast(p) {to=bf16}
  }
  kernel lm_head {product=ranges_64x64x4, small=stream_32x4} {
    y: f32[R,33792] = linear(t2, t1) {matmul=emitted}
  }
  kernel likeliest {
    likeliest.1: f32[R,2], likeliest.1.ids: i32[R,1] = likeliest(y) {top=1}
  }
  kernel likeliest {
    likeliest.64: f32[R,128], likeliest.64.ids: i32[R,64] = likeliest(y) {top=64}
  }
  output y
  output likeliest.1
  output likeliest.1.ids
  output likeliest.64
}
