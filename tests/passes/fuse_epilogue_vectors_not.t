fuse: on vectors a projection's rows do not come one after the other: a convolution is a kernel of its own.
--ARGS--
compile @IN@ --stop-after fuse --dtype bf16 --cpu znver5
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
  output c
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
  kernel pack_w {
    t1: bf16[64,64] = cast(w) {to=bf16}
    t3: bf16[1,32,64,2] = pack(t1) {panel=64}
  }
  kernel transpose_k {
    t4: f32[4,64] = transpose(k)
  }
  kernel embed {
    x: f32[T,64] = embed(ids, e)
    t2: bf16[T,64] = cast(x) {to=bf16}
  }
  kernel w {
    u: f32[T,64] = linear(t2, t3) {out=64, matmul=emitted}
  }
  kernel k {
    c: f32[T,64] = conv1d(u, t4, _, s)
  }
  output c
}
--COUNT--
linear 1 conv1d 1
