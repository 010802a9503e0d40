partition: experts on the matrix unit.
--ARGS--
compile @IN@ --stop-after partition --dtype bf16 --cpu sapphirerapids
--IN--
include experts.ir K=256 O=512
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,256] init=ones
  weight g: f32[4,256] init=ones
  weight w: f32[4,512,256] init=ones
  kernel pack_g {part=rows} {
    t3: f32[1,256,16] = pack(g) {panel=16}
  }
  kernel pack_w {part=rows} {
    t1: bf16[4,512,256] = cast(w) {to=bf16}
    t4: bf16[4,16,128,32,2] = pack(t1) {panel=32}
  }
  kernel embed {part=rows, pieces=4} {
    x: f32[T,256] = embed(ids, e)
    t2: bf16[T,256] = cast(x) {to=bf16}
  }
  kernel g {tile=12, part=grid, pieces=16} {
    s: f32[T,4] = linear(x, t3) {out=4, matmul=emitted}
  }
  kernel route {part=rows, pieces=4} {
    c: i32[T*2], p: f32[T*2,1] = route(s) {top=2, score=softmax, normalise=1}
  }
  kernel w {unit=matrix, tile=32, part=grid, pieces=16} {
    a: f32[T*2,512] = experts(t2, c, t4) {out=512}
    b: f32[T*2,512] = silu(a)
    y: f32[T*2,512] = mul(b, p)
  }
  kernel fold {part=rows, pieces=4} {
    f: f32[T,512] = fold(y) {top=2}
  }
  kernel take {part=rows, pieces=4} {
    o: f32[R,512] = take(f, pick)
  }
  output o
}
