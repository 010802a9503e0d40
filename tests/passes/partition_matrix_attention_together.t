partition: attention of single tokens runs on the matrix unit where the queries of a head of keys fill a tile.
--ARGS--
compile @IN@ --stop-after partition --dtype bf16 --cpu sapphirerapids --entry decode
--IN--
graph "t" model {
  weights "init:reference"
  block 16
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,72] init=ones
  state ks: f32[S,4]
  state vs: f32[S,4]
  all = embed(ids, e)
  q, k, v = split(all) {sizes=[64, 4, 4]}
  K = keep(k, ks)
  V = keep(v, vs)
  y = attention(q, K, V) {heads=16, head_dim=4, groups=1, scale=0.5}
  o = take(y, pick)
  output o
}
--EXPECT--
graph "t" kernel {
  weights "init:reference"
  block 16
  rows 4
  entry decode
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,72] init=ones
  state ks: bf16[S,4]
  state vs: bf16[S,4]
  kernel embed {part=rows} {
    all: f32[T,72] = embed(ids, e)
  }
  q: f32[T,64], k: f32[T,4], v: f32[T,4] = split(all) {sizes=[64, 4, 4]}
  kernel keep {part=rows} {
    K: bf16[S,4] = keep(k, ks) {head_dim=4, layout=keys}
  }
  kernel keep {part=rows} {
    V: bf16[S,4] = keep(v, vs) {head_dim=4, layout=values}
  }
  kernel attention_sums {unit=matrix, part=heads} {
    t1: f32[T,96] = attention_sums(q, K, V) {groups=1, heads=16, head_dim=4, scale=0.5}
  }
  kernel attention_join {part=heads} {
    y: f32[T,64] = attention_join(t1) {heads=16, head_dim=4}
  }
  kernel take {part=rows} {
    o: f32[R,64] = take(y, pick)
  }
  output o
}
