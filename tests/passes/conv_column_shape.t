conv1d with column: as many columns as the weight has, from column on, must be there.
--ARGS--
compile @IN@ --emit graph
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
  c = conv1d(p, k, _, s) {column=17}
  output c
}
--ERR--
@IN@:10:17: error: `conv1d`: operand 2, `k`, is f32[24,1,4], expected C columns of x, from column on: operand 1, `p`, has C = 40 columns
--EXIT--
2
