attention: on a GPU values have as many channels as keys.
--ARGS--
compile @IN@ --device sm_80 --emit ptx
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,28] init=ones
  state ks: f32[S,12]
  state vs: f32[S,4]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[12, 12, 4]}
  K = keep(k, ks)
  V = keep(v, vs)
  y = attention(q, K, V) {heads=2, head_dim=6, groups=2, scale=0.5, value_dim=2}
  o = take(y, pick)
  output o
}
--ERR--
error: value_dim=2: a GPU takes heads whose values have as many channels as their keys, here head_dim=6
--EXIT--
2
