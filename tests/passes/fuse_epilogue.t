fuse: a convolution joins the projection on a matrix unit that makes its x, and what follows the convolution joins both.
--ARGS--
compile @IN@ --stop-after partition --dtype bf16 --cpu sapphirerapids
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  weight k: f32[64,1,4] init=ones
  state s: f32[3,64]
  x: f32[T,64] = embed(ids, e)
  u = linear(x, w)
  c = conv1d(u, k, _, s)
  y = silu(c)
  output y
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,64] init=ones
  weight w: f32[64,64] init=ones
  weight k: f32[64,1,4] init=ones
  state s: f32[3,64]
  kernel pack_w {part=rows} {
    t1: bf16[64,64] = cast(w) {to=bf16}
    t3: bf16[2,32,32,2] = pack(t1) {panel=32}
  }
  kernel transpose_k {part=rows} {
    t4: f32[4,64] = transpose(k)
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,64] = embed(ids, e)
    t2: bf16[T,64] = cast(x) {to=bf16}
  }
  kernel w_conv1d {unit=matrix, tile=32, part=cols, pieces=4} {
    u: f32[T,64] = linear(t2, t3) {out=64, matmul=emitted}
    c: f32[T,64] = conv1d(u, t4, _, s)
    y: f32[T,64] = silu(c)
  }
  output y
}
--COUNT--
linear 1 conv1d 1
