conv_columns: a convolution of single tokens runs where a GPU makes its columns, and what follows it.
--ARGS--
compile @IN@ --stop-after fuse --device sm_90a --dtype bf16 --entry decode
--IN--
include conv_columns.ir BLOCK=16 K=4 S=3 G="concat(z, a)"
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  weight e: f32[16,24] init=ones
  weight w: f32[40,24] init=ones
  weight k: f32[24,1,4] init=ones
  state s: f32[3,24]
  kernel init_w {
    t1: bf16[40,24] = cast(w) {to=bf16}
  }
  kernel transpose_k {
    t3: f32[4,24] = transpose(k)
  }
  kernel embed {
    h: f32[T,24] = embed(ids, e)
    t2: bf16[T,24] = cast(h) {to=bf16}
  }
  kernel w_conv1d {
    p: f32[T,40] = linear(t2, t1) {matmul=emitted}
    c: f32[T,24] = conv1d(p, t3, _, s) {column=16}
    a: f32[T,24] = silu(c)
  }
  z: f32[T,16], u: f32[T,24] = split(p) {sizes=[16, 24]}
  kernel norm {
    g: f32[T,40] = concat(z, a)
  }
  output g
}
