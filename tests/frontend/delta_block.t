The block delta, with rows of its projections group by group, and attention with gates and norms of its heads.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: small
vocab: 16
dim: 8
layers:
  - {block: delta, state: 4, head_dim: 2, heads: 4, groups: 2, rows_by: group, beta_scale: 2, norm: offset}
  - {block: attention, heads: 4, groups: 2, rotary: 0, gated: true, qk_norm: head, post_norm: rms, norm: none}
weights: {init: reference, seed: 7}
tensors: {"*": "*"}
compile: {block: 64, rows: 4}
--EXPECT--
graph "small" model {
  weights "init:reference"
  seed 7
  block 64
  rows 4
  input ids: i32[T]
  input pick: i32[R]
  weight embedding.weight: f32[16,8] tensor="embedding.weight" init=normal_embed
  weight norm.weight: f32[8] tensor="norm.weight" init=ones
  weight head.weight: f32[16,8] tensor="head.weight" init=uniform_fan_in
  weight layers.0.delta.norm.offset: f32[8] tensor="layers.0.delta.norm.offset" init=zeros
  weight layers.0.delta.in_proj.weight: f32[32,8] tensor="layers.0.delta.in_proj.weight" init=uniform_fan_in
  weight layers.0.delta.ba_proj.weight: f32[8,8] tensor="layers.0.delta.ba_proj.weight" init=uniform_fan_in
  weight layers.0.delta.conv1d.weight: f32[24,1,4] tensor="layers.0.delta.conv1d.weight" init=uniform_fan_in
  weight layers.0.delta.dt_bias: f32[4] tensor="layers.0.delta.dt_bias" init=dt_bias
  weight layers.0.delta.A_log: f32[4] tensor="layers.0.delta.A_log" init=a_log
  weight layers.0.delta.gated_norm.weight: f32[2] tensor="layers.0.delta.gated_norm.weight" init=ones
  weight layers.0.delta.out_proj.weight: f32[8,8] tensor="layers.0.delta.out_proj.weight" init=out_proj
  weight layers.1.attention.qkv_proj.weight: f32[24,8] tensor="layers.1.attention.qkv_proj.weight" init=uniform_fan_in
  weight layers.1.attention.q_norm.weight: f32[2] tensor="layers.1.attention.q_norm.weight" init=ones
  weight layers.1.attention.k_norm.weight: f32[2] tensor="layers.1.attention.k_norm.weight" init=ones
  weight layers.1.attention.out_proj.weight: f32[8,8] tensor="layers.1.attention.out_proj.weight" init=out_proj
  weight layers.1.attention.post_norm.weight: f32[8] tensor="layers.1.attention.post_norm.weight" init=ones
  state layers.0.conv: f32[3,24]
  state layers.0.delta: f32[4,4,2]
  state layers.1.keys: f32[S,4]
  state layers.1.values: f32[S,4]
  h: f32[T,8] = embed(ids, embedding.weight)
  t1: f32[8] = add(layers.0.delta.norm.offset, 1)
  u: f32[T,8] = rmsnorm(h, t1) {eps=1e-05}
  W: f32[32,8] = regroup(layers.0.delta.in_proj.weight) {groups=2, sizes=[4, 4, 4, 4]}
  V: f32[8,8] = regroup(layers.0.delta.ba_proj.weight) {groups=2, sizes=[2, 2]}
  t2: f32[T,32] = linear(u, W)
  qkv: f32[T,24], z: f32[T,8] = split(t2) {sizes=[24, 8]}
  t3: f32[T,8] = linear(u, V) {precise=8}
  b: f32[T,4], a: f32[T,4] = split(t3) {sizes=[4, 4]}
  t4: f32[T,24] = conv1d(qkv, layers.0.delta.conv1d.weight, _, layers.0.conv)
  t5: f32[T,24] = silu(t4)
  q: f32[T,8], k: f32[T,8], v: f32[T,8] = split(t5) {sizes=[8, 8, 8]}
  b.2: f32[T,4] = sigmoid(b)
  b.3: f32[T,4] = mul(b.2, 2)
  t6: f32[T,4] = add(a, layers.0.delta.dt_bias)
  t7: f32[T,4] = softplus(t6)
  t8: f32[4] = exp(layers.0.delta.A_log)
  t9: f32[4] = neg(t8)
  g: f32[T,4] = mul(t7, t9)
  y: f32[T,8] = delta(q, k, v, g, b.3, layers.0.delta) {eps=1e-06, groups=2, heads=4, head_dim=2, scale=0.5, state=4}
  y.2: f32[T,8] = rmsnorm(y, layers.0.delta.gated_norm.weight) {eps=1e-05, groups=4}
  t10: f32[T,8] = silu(z)
  t11: f32[T,8] = mul(y.2, t10)
  o: f32[T,8] = linear(t11, layers.0.delta.out_proj.weight)
  h.2: f32[T,8] = add(h, o)
  W.2: f32[24,8] = regroup(layers.1.attention.qkv_proj.weight) {groups=4, sizes=[2, 2], repeat=1}
  p: f32[T,24] = linear(h.2, W.2)
  q.2: f32[T,8], z.2: f32[T,8], k.2: f32[T,4], v.2: f32[T,4] = split(p) {sizes=[8, 8, 4, 4]}
  q.3: f32[T,8] = rmsnorm(q.2, layers.1.attention.q_norm.weight) {eps=1e-05, groups=4}
  k.3: f32[T,4] = rmsnorm(k.2, layers.1.attention.k_norm.weight) {eps=1e-05, groups=2}
  K: f32[S,4] = keep(k.3, layers.1.keys)
  V.2: f32[S,4] = keep(v.2, layers.1.values)
  y.3: f32[T,8] = attention(q.3, K, V.2) {groups=2, heads=4, head_dim=2, scale=0.7071067811865475}
  t12: f32[T,8] = sigmoid(z.2)
  y.4: f32[T,8] = mul(y.3, t12)
  o.2: f32[T,8] = linear(y.4, layers.1.attention.out_proj.weight)
  o.3: f32[T,8] = rmsnorm(o.2, layers.1.attention.post_norm.weight) {eps=1e-05}
  h.3: f32[T,8] = add(h.2, o.3)
  t13: f32[R,8] = take(h.3, pick)
  u.2: f32[R,8] = rmsnorm(t13, norm.weight) {eps=1e-05}
  logits: f32[R,16] = linear(u.2, head.weight)
  output logits
}
