choose_form: on a GPU the delta rule goes token after token in f32.
--ARGS--
compile @IN@ --stop-after choose_form --device sm_90a --dtype f32
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,772] init=ones
  state s: f32[2,128,128]
  all = embed(ids, e)
  q, k, v, g, b = split(all) {sizes=[256, 256, 256, 2, 2]}
  y = delta(q, k, v, g, b, s) {heads=2, head_dim=128, groups=2, state=128, scale=1}
  output y
}
--EXPECT--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,772] init=ones
  state s: f32[2,128,128]
  all: f32[T,772] = embed(ids, e)
  q: f32[T,256], k: f32[T,256], v: f32[T,256], g: f32[T,2], b: f32[T,2] = split(all) {sizes=[256, 256, 256, 2, 2]}
  y: f32[T,256] = delta(q, k, v, g, b, s) {groups=2, heads=2, head_dim=128, scale=1, state=128, form=recurrent}
  output y
}
