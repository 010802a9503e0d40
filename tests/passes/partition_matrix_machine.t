partition: a graph whose kernels were given to the matrix unit is refused for a CPU without one.
--ARGS--
compile @IN@ --emit asm --cpu x86-64-v4
--IN--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  weight w: bf16[32,32] init=ones
  kernel pack_w {part=rows} {
    p: bf16[1,16,32,2] = pack(w) {panel=32}
  }
  kernel embed {part=rows} {
    t: f32[T,32] = embed(ids, e)
    x: bf16[T,32] = cast(t) {to=bf16}
  }
  kernel w {unit=matrix, tile=32, part=grid} {
    y: f32[T,32] = linear(x, p) {out=32, matmul=emitted}
  }
  kernel pick {part=rows} {
    out: f32[R,32] = take(y, pick)
  }
  output out
}
--ERR--
@IN@:18:20: error: kernel w: unit=matrix wants a machine whose matrix unit multiplies the weight, bf16[1,16,32,2], in panels of 32 columns
--EXIT--
2
