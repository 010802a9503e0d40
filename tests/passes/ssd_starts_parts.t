ssd_starts: a pass has at least two parts.
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
  t = ssd_starts(x, dt, A, B, s) {heads=1, head_dim=4, groups=1, state=4, chunk=64, parts=1}
  output h
}
--ERR--
@IN@:11:7: error: `ssd_starts`: parts=1, expected 2 to 65536
--EXIT--
2
