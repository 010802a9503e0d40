attention: a GPU takes values of up to 256 channels.
--ARGS--
compile @IN@ --device sm_80 --emit ptx
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,538] init=ones
  state ks: f32[S,12]
  state vs: f32[S,514]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[12, 12, 514]}
  K = keep(k, ks)
  V = keep(v, vs)
  y = attention(q, K, V) {heads=2, head_dim=6, groups=2, scale=0.5, value_dim=257}
  o = take(y, pick)
  output o
}
--ERR--
error: value_dim=257: a GPU takes heads of up to 256 channels
--EXIT--
2
