conv_columns: of long passes, too, whose tiles have room for what it reads; as they are kept.
--ARGS--
compile @IN@ --stop-after fuse --device sm_90a --dtype bf16 --entry prefill
--IN--
include conv_columns.ir BLOCK=512 K=4 S=3 G="concat(z, a)"
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 512
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,24] init=ones
  weight w: f32[40,24] init=ones
  weight k: f32[24,1,4] init=ones
  state s: f32[3,24]
  kernel init_w {
    t1: bf16[40,24] = cast(w) {to=bf16}
  }
  kernel transpose_k {
    t6: f32[4,24] = transpose(k)
  }
  kernel embed {
    h: f32[T,24] = embed(ids, e)
    t2: bf16[T,24] = cast(h) {to=bf16}
  }
  kernel w_conv1d {
    p: f32[T,40] = linear(t2, t1) {matmul=emitted}
    t3: bf16[T,40] = cast(p) {to=bf16}
    c: f32[T,24] = conv1d(t3, t6, _, s) {column=16}
    a: f32[T,24] = silu(c)
  }
  z: bf16[T,16], u: bf16[T,24] = split(t3) {sizes=[16, 24]}
  kernel norm {
    g: f32[T,40] = concat(z, a)
  }
  output g
}
