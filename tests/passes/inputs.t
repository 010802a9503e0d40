inputs: a graph has the token ids, and others by their names.
--ARGS--
compile @IN@
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  input tokens: i32[T]
  input positions: f32[T]
  weight e: f32[16,24] init=ones
  x = embed(ids, e)
  o = take(x, pick)
  output o
}
--ERR--
error: `tokens` is no input of a graph; those are ids, positions and pick
error: `positions` is f32[T], expected i32[T]: how many tokens of its sequence come before each row
--EXIT--
2
