codegen: rows of choices are numbered in 32 bits.
--ARGS--
compile @IN@ --emit asm --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 1000000
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,4096] init=ones
  weight w: f32[4096,8,4096] init=ones
  x = embed(ids, e)
  c, p = route(x) {top=4096, score=softmax}
  a = experts(x, c, w)
  y = mul(a, p)
  f = fold(y) {top=4096}
  o = take(f, pick)
  output o
}
--ERR--
error: `c` has too many rows for 1000000 tokens: make block smaller
error: `p` has too many rows for 1000000 tokens: make block smaller
error: `a` has too many rows for 1000000 tokens: make block smaller
error: `y` has too many rows for 1000000 tokens: make block smaller
--EXIT--
2
