layout: keys and values lie as attention reads them; rows of a window are enough where every reader has one, the widest of them.
--ARGS--
compile @IN@ --stop-after layout --cpu znver4 --kept-dtype f32
--IN--
graph "t" model {
  weights "init:reference"
  block 64
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
  y = attention(q, K, V) {heads=4, head_dim=4, groups=2, scale=0.5, window=32}
  y2 = attention(q, K, V) {heads=4, head_dim=4, groups=2, scale=0.5, window=48}
  z = y + y2
  o = take(z, pick)
  output o
}
--EXPECT--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  state ks: f32[S,8]
  state vs: f32[S,8]
  all: f32[T,32] = embed(ids, e)
  q: f32[T,16], k: f32[T,8], v: f32[T,8] = split(all) {sizes=[16, 8, 8]}
  K: f32[S,8] = keep(k, ks) {head_dim=4, window=48, layout=keys}
  V: f32[S,8] = keep(v, vs) {head_dim=4, window=48, layout=values}
  y: f32[T,16] = attention(q, K, V) {groups=2, heads=4, head_dim=4, scale=0.5, window=32}
  y2: f32[T,16] = attention(q, K, V) {groups=2, heads=4, head_dim=4, scale=0.5, window=48}
  z: f32[T,16] = add(y, y2)
  o: f32[R,16] = take(z, pick)
  output o
}
