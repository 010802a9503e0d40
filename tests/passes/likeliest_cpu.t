likeliest is a GPU's: no code is made of it for a CPU.
--ARGS--
compile @IN@ --emit llvm --device cpu --cpu x86-64-v3
--IN--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,8] init=ones
  x = embed(ids, e)
  p = take(x, pick)
  b, b2 = likeliest(p) {top=2}
  output p
  output b
}
--ERR--
error: likeliest has no emitter: no code can be made of it
--EXIT--
2
