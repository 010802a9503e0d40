attention_sums and attention_join: what their operands must be.
--ARGS--
compile @IN@
--IN--
graph "t" lowered {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  state ks: f32[S,16]
  state vs: f32[S,16]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[32, 16, 16]}
  K = keep(k, ks)
  V = keep(v, vs)
  t = attention_sums(q, K, V) {heads=4, head_dim=8, groups=2, scale=0.5}
  t1 = attention_sums(q, k, V) {heads=4, head_dim=8, groups=2, scale=0.5}
  t2 = attention_sums(q, K, V) {heads=4, head_dim=8, groups=3, scale=0.5}
  y = attention_join(t) {heads=4, head_dim=8}
  y1 = attention_join(q) {heads=4, head_dim=8}
  y2 = attention_join(t) {heads=1099511627776, head_dim=1099511627776}
  o = take(y, pick)
  output o
}
--ERR--
error: `attention_sums`: operand 2, `k`, is f32[T,16], expected f32[S,16]: rows that a `keep` has kept, groups * head_dim wide
error: `attention_sums`: heads=4 do not divide into groups=3
error: `attention_join`: operand 1, `q`, is f32[T,32], expected f32[T,40]: heads * (head_dim + 2), as attention_sums gives them
error: `attention_join`: heads times head_dim, or times value_dim, is too large
--EXIT--
2
