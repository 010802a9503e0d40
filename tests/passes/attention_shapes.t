keep and attention: what their operands and attributes must be.
--ARGS--
compile @IN@
--IN--
graph "t" model {
  weights "init:reference"
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,64] init=ones
  weight W: f32[8,8] init=ones
  state ks: f32[S,16]
  state vs: f32[S,16]
  state n: f32[S,8]
  state f: f32[16]
  state l: f32[S,16]
  state m: f32[S,16]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[32, 16, 16]}
  K = keep(k, ks)
  V = keep(v, vs)
  K1 = keep(k, n)
  K2 = keep(k, f)
  K3 = keep(k, l) {layout=columns}
  K4 = keep(k, m) {head_dim=5}
  y1 = attention(q, k, V) {heads=4, head_dim=8, groups=2, scale=0.5}
  y2 = attention(q, K, V) {heads=4, head_dim=8, groups=3, scale=0.5}
  y3 = attention(k, K, V) {heads=4, head_dim=8, groups=2, scale=0.5}
  y4 = attention(q, K, V) {heads=4, head_dim=8, groups=2, scale=0.5, softcap=0}
  y5 = attention(q, K, V) {heads=4, head_dim=8, groups=2, scale=0.5, window=0}
  y6 = attention(q, K, V) {heads=4, head_dim=8, groups=2}
  y7 = K + 1
  y8 = attention(q, K, V) {heads=4, head_dim=8, groups=2, scale=0.5, value_dim=6}
  y9 = attention(q, K, V) {heads=4, head_dim=8, groups=2, scale=0.5, value_dim=0}
  o = take(q, pick)
  output o
}
--ERR--
error: `keep`: operand 2, `n`, is f32[S,8], expected f32[S,16]: the state has a row for each token, as wide as operand 1
error: `keep`: operand 2, `f`, is f32[16], expected f32[S,16]: the state has a row for each token, as wide as operand 1
error: `keep`: layout=columns, expected rows, keys or values
error: `keep`: 16 columns do not divide into heads of head_dim=5
error: `attention`: operand 2, `k`, is f32[T,16], expected f32[S,16]: rows that a `keep` has kept, groups * head_dim wide
error: `attention`: heads=4 do not divide into groups=3
error: `attention`: operand 1, `k`, is f32[T,16], expected f32[T,32]: heads=4 of head_dim=8
error: `attention`: softcap is above 0
error: `attention`: the attribute is {window=0}, expected a whole number from 1 to 2^40
error: `attention`: attribute `scale` is missing: what scores q . k are multiplied by
error: `attention`: operand 3, `V`, is f32[S,16], expected f32[S,12]: rows that a `keep` has kept, groups * value_dim wide
error: `attention`: the attribute is {value_dim=0}, expected a whole number from 1 to 2^40
error: `add`: operand 1, `K`, is f32[S,16], expected rows T or R: rows that are kept are read by attention
--EXIT--
2
