quantise: keys of heads with an odd number of channels stay f32: in 16 bits channels lie in pairs.
--ARGS--
compile @IN@ --stop-after quantise --dtype bf16 --cpu znver4
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,24] init=ones
  state ks: f32[S,6]
  state vs: f32[S,6]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[12, 6, 6]}
  K = keep(k, ks)
  V = keep(v, vs)
  y = attention(q, K, V) {heads=4, head_dim=3, groups=2, scale=0.5}
  o = take(y, pick)
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
  weight e: f32[16,24] init=ones
  state ks: f32[S,6]
  state vs: f32[S,6]
  all: f32[T,24] = embed(ids, e)
  q: f32[T,12], k: f32[T,6], v: f32[T,6] = split(all) {sizes=[12, 6, 6]}
  K: f32[S,6] = keep(k, ks)
  V: f32[S,6] = keep(v, vs)
  y: f32[T,12] = attention(q, K, V) {groups=2, heads=4, head_dim=3, scale=0.5}
  o: f32[R,12] = take(y, pick)
  output o
}
