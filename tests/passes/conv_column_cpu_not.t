conv1d with column is for a GPU's code: a CPU reads columns by a split.
--ARGS--
compile @IN@ --emit llvm --cpu x86-64-v3
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  weight e: f32[16,40] init=ones
  weight k: f32[24,1,4] init=ones
  state s: f32[3,24]
  p = embed(ids, e)
  c = conv1d(p, k, _, s) {column=16}
  output c
}
--ERR--
@IN@:10:7: error: conv1d with column: it is for code of a GPU, and a CPU reads columns by a split
--EXIT--
2
