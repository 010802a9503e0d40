partition: rows of bf16 are widened where a dot of pairs takes longer than two multiply-adds.
--ARGS--
compile @IN@ --stop-after partition --dtype bf16 --cpu sapphirerapids --set compile.matrix=none --tune shipped
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
graph "t" kernel {
  weights "init:reference"
  block 16
  rows 4
  entry prefill
  input ids: i32[T]
  input pick: i32[R]
  weight e: f32[16,32] init=ones
  state ks: bf16[S,8]
  state vs: bf16[S,8]
  kernel embed {part=rows} {
    all: f32[T,32] = embed(ids, e)
  }
  q: f32[T,16], k: f32[T,8], v: f32[T,8] = split(all) {sizes=[16, 8, 8]}
  kernel keep {part=rows} {
    K: bf16[S,8] = keep(k, ks) {head_dim=4, window=100, layout=keys}
  }
  kernel keep {part=rows} {
    V: bf16[S,8] = keep(v, vs) {head_dim=4, window=100, layout=values}
  }
  kernel attention {dot=f32, part=heads} {
    y: f32[T,16] = attention(q, K, V) {groups=2, heads=4, head_dim=4, scale=0.5, window=100, softcap=30}
  }
  kernel take {part=rows} {
    o: f32[R,16] = take(y, pick)
  }
  output o
}
