choose_form: a decay for each channel of a key has the recurrent form alone, whatever the option says.
--ARGS--
compile @IN@ --stop-after choose_form --cpu x86-64-v4 --form chunked --chunk 32
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  weight e: f32[16,1026] init=ones
  state s: f32[2,128,128]
  all = embed(ids, e)
  q, k, v, g, b = split(all) {sizes=[256, 256, 256, 256, 2]}
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
  weight e: f32[16,1026] init=ones
  state s: f32[2,128,128]
  all: f32[T,1026] = embed(ids, e)
  q: f32[T,256], k: f32[T,256], v: f32[T,256], g: f32[T,256], b: f32[T,2] = split(all) {sizes=[256, 256, 256, 256, 2]}
  y: f32[T,256] = delta(q, k, v, g, b, s) {groups=2, heads=2, head_dim=128, scale=1, state=128, form=recurrent}
  output y
}
