choose_form says why there is no choice.
--ARGS--
explain @IN@ --cpu x86-64-v4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,1026] init=ones
  state s: f32[2,128,128]
  all = embed(ids, e)
  q, k, v, g, b = split(all) {sizes=[256, 256, 256, 256, 2]}
  y = delta(q, k, v, g, b, s) {heads=2, head_dim=128, groups=2, state=128, scale=1}
  o = take(y, pick)
  output o
}
--CONTAINS--
delta H=2 P=128 N=128 G=2: recurrent (a decay for each channel of a key)
