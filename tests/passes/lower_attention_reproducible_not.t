lower_attention: reproducible code adds up in one order, in prefill and in decode.
--ARGS--
compile @IN@ --stop-after lower_attention --cpu x86-64-v4 --entry decode --reproducible
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  state ks: f32[S,8]
  state vs: f32[S,8]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[16, 8, 8]}
  K = keep(k, ks)
  V = keep(v, vs)
  y = attention(q, K, V) {heads=4, head_dim=4, groups=2, scale=0.5, window=100, softcap=30}
  o = take(y, pick)
  output o
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  state ks: f32[S,8]
  state vs: f32[S,8]
  all: f32[T,32] = embed(ids, e)
  q: f32[T,16], k: f32[T,8], v: f32[T,8] = split(all) {sizes=[16, 8, 8]}
  K: f32[S,8] = keep(k, ks)
  V: f32[S,8] = keep(v, vs)
  y: f32[T,16] = attention(q, K, V) {groups=2, heads=4, head_dim=4, scale=0.5, window=100, softcap=30}
  o: f32[R,16] = take(y, pick)
  output o
}
