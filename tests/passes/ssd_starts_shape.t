state_pass: what ssd_starts gives has the shape of the chunks' states.
--ARGS--
compile @IN@ --emit graph
--IN--
graph "t" lowered {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  weight e: f32[16,13] init=ones
  weight A: f32[1] init=ones
  state s: f32[1,4,4]
  h = embed(ids, e)
  x, dt, B, C = split(h) {sizes=[4, 1, 4, 4]}
  a = chunk_decay(dt, A) {chunk=64}
  add = chunk_state(B, x, dt, a) {heads=1, head_dim=4, groups=1, state=4, chunk=64}
  enter = state_pass(add, a, s, h) {chunk=64}
  output h
}
--ERR--
@IN@:13:33: error: `state_pass`: operand 4, `h`, is f32[T,13], expected f32[2 parts,H,N,P]: states of stretches of the tokens
--EXIT--
2
