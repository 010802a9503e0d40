The blocks kda and mla: a decay for each channel of a key; keys and values that heads make of a latent.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: small
vocab: 16
dim: 8
layers:
  - {block: kda, heads: 2, head_dim: 4, rank: 3}
  - {block: mla, heads: 2, own: 3, shared: 2, value_dim: 4, rank: 5, query_rank: 6, bias: true}
  - {block: mla, heads: 2, own: 3, shared: 1, value_dim: 4, rank: 5, residual: 0.5}
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
  weight layers.0.kda.norm.weight: f32[8] tensor="layers.0.kda.norm.weight" init=ones
  weight layers.0.kda.in_proj.weight: f32[27,8] tensor="layers.0.kda.in_proj.weight" init=uniform_fan_in
  weight layers.0.kda.decay_in.weight: f32[5,8] tensor="layers.0.kda.decay_in.weight" init=uniform_fan_in
  weight layers.0.kda.decay_out.weight: f32[8,3] tensor="layers.0.kda.decay_out.weight" init=uniform_fan_in
  weight layers.0.kda.gate_out.weight: f32[8,3] tensor="layers.0.kda.gate_out.weight" init=uniform_fan_in
  weight layers.0.kda.conv1d.weight: f32[24,1,4] tensor="layers.0.kda.conv1d.weight" init=uniform_fan_in
  weight layers.0.kda.dt_bias: f32[8] tensor="layers.0.kda.dt_bias" init=dt_bias
  weight layers.0.kda.A_log: f32[2] tensor="layers.0.kda.A_log" init=a_log
  weight layers.0.kda.gated_norm.weight: f32[4] tensor="layers.0.kda.gated_norm.weight" init=ones
  weight layers.0.kda.out_proj.weight: f32[8,8] tensor="layers.0.kda.out_proj.weight" init=out_proj
  weight layers.1.mla.norm.weight: f32[8] tensor="layers.1.mla.norm.weight" init=ones
  weight layers.1.mla.q_down.weight: f32[6,8] tensor="layers.1.mla.q_down.weight" init=uniform_fan_in
  weight layers.1.mla.q_down.bias: f32[6] tensor="layers.1.mla.q_down.bias" init=zeros
  weight layers.1.mla.q_norm.weight: f32[6] tensor="layers.1.mla.q_norm.weight" init=ones
  weight layers.1.mla.q_up.weight: f32[10,6] tensor="layers.1.mla.q_up.weight" init=uniform_fan_in
  weight layers.1.mla.kv_down.weight: f32[7,8] tensor="layers.1.mla.kv_down.weight" init=uniform_fan_in
  weight layers.1.mla.kv_down.bias: f32[7] tensor="layers.1.mla.kv_down.bias" init=zeros
  weight layers.1.mla.kv_norm.weight: f32[5] tensor="layers.1.mla.kv_norm.weight" init=ones
  weight layers.1.mla.kv_up.weight: f32[14,5] tensor="layers.1.mla.kv_up.weight" init=uniform_fan_in
  weight layers.1.mla.out_proj.weight: f32[8,8] tensor="layers.1.mla.out_proj.weight" init=out_proj
  weight layers.1.mla.out_proj.bias: f32[8] tensor="layers.1.mla.out_proj.bias" init=zeros
  weight layers.2.mla.norm.weight: f32[8] tensor="layers.2.mla.norm.weight" init=ones
  weight layers.2.mla.q_proj.weight: f32[8,8] tensor="layers.2.mla.q_proj.weight" init=uniform_fan_in
  weight layers.2.mla.kv_down.weight: f32[6,8] tensor="layers.2.mla.kv_down.weight" init=uniform_fan_in
  weight layers.2.mla.kv_norm.weight: f32[5] tensor="layers.2.mla.kv_norm.weight" init=ones
  weight layers.2.mla.kv_up.weight: f32[14,5] tensor="layers.2.mla.kv_up.weight" init=uniform_fan_in
  weight layers.2.mla.out_proj.weight: f32[8,8] tensor="layers.2.mla.out_proj.weight" init=out_proj
  state layers.0.conv: f32[3,24]
  state layers.0.delta: f32[2,4,4]
  state layers.1.keys: f32[S,10]
  state layers.1.values: f32[S,8]
  state layers.2.keys: f32[S,8]
  state layers.2.values: f32[S,8]
  h: f32[T,8] = embed(ids, embedding.weight)
  u: f32[T,8] = rmsnorm(h, layers.0.kda.norm.weight) {eps=1e-05}
  t1: f32[T,27] = linear(u, layers.0.kda.in_proj.weight)
  qkv: f32[T,24], z: f32[T,3] = split(t1) {sizes=[24, 3]}
  t2: f32[T,5] = linear(u, layers.0.kda.decay_in.weight) {precise=5}
  a: f32[T,3], b: f32[T,2] = split(t2) {sizes=[3, 2]}
  t3: f32[T,24] = conv1d(qkv, layers.0.kda.conv1d.weight, _, layers.0.conv)
  t4: f32[T,24] = silu(t3)
  q: f32[T,8], k: f32[T,8], v: f32[T,8] = split(t4) {sizes=[8, 8, 8]}
  a.2: f32[T,8] = linear(a, layers.0.kda.decay_out.weight) {precise=8}
  t5: f32[T,8] = add(a.2, layers.0.kda.dt_bias)
  t6: f32[T,8] = softplus(t5)
  t7: f32[2] = exp(layers.0.kda.A_log)
  t8: f32[2] = neg(t7)
  t9: f32[8] = spread(t8) {repeat=4}
  g: f32[T,8] = mul(t6, t9)
  t10: f32[T,2] = sigmoid(b)
  y: f32[T,8] = delta(q, k, v, g, t10, layers.0.delta) {eps=1e-06, groups=2, heads=2, head_dim=4, scale=0.5, state=4}
  y.2: f32[T,8] = rmsnorm(y, layers.0.kda.gated_norm.weight) {eps=1e-05, groups=2}
  t11: f32[T,8] = linear(z, layers.0.kda.gate_out.weight)
  t12: f32[T,8] = sigmoid(t11)
  t13: f32[T,8] = mul(y.2, t12)
  o: f32[T,8] = linear(t13, layers.0.kda.out_proj.weight)
  h.2: f32[T,8] = add(h, o)
  u.2: f32[T,8] = rmsnorm(h.2, layers.1.mla.norm.weight) {eps=1e-05}
  t14: f32[T,6] = linear(u.2, layers.1.mla.q_down.weight, layers.1.mla.q_down.bias)
  q.2: f32[T,6] = rmsnorm(t14, layers.1.mla.q_norm.weight) {eps=1e-06}
  q.3: f32[T,10] = linear(q.2, layers.1.mla.q_up.weight)
  t15: f32[T,7] = linear(u.2, layers.1.mla.kv_down.weight, layers.1.mla.kv_down.bias)
  c: f32[T,5], r: f32[T,2] = split(t15) {sizes=[5, 2]}
  c.2: f32[T,5] = rmsnorm(c, layers.1.mla.kv_norm.weight) {eps=1e-06}
  W: f32[14,5] = regroup(layers.1.mla.kv_up.weight) {groups=2, sizes=[3, 4]}
  t16: f32[T,14] = linear(c.2, W)
  k.2: f32[T,6], v.2: f32[T,8] = split(t16) {sizes=[6, 8]}
  t17: f32[T,10] = concat(k.2, r) {groups=2}
  K: f32[S,10] = keep(t17, layers.1.keys)
  V: f32[S,8] = keep(v.2, layers.1.values)
  y.3: f32[T,8] = attention(q.3, K, V) {groups=2, heads=2, head_dim=5, value_dim=4, scale=0.4472135954999579}
  o.2: f32[T,8] = linear(y.3, layers.1.mla.out_proj.weight, layers.1.mla.out_proj.bias)
  h.3: f32[T,8] = add(h.2, o.2)
  u.3: f32[T,8] = rmsnorm(h.3, layers.2.mla.norm.weight) {eps=1e-05}
  q.4: f32[T,8] = linear(u.3, layers.2.mla.q_proj.weight)
  t18: f32[T,6] = linear(u.3, layers.2.mla.kv_down.weight)
  c.3: f32[T,5], r.2: f32[T,1] = split(t18) {sizes=[5, 1]}
  c.4: f32[T,5] = rmsnorm(c.3, layers.2.mla.kv_norm.weight) {eps=1e-06}
  W.2: f32[14,5] = regroup(layers.2.mla.kv_up.weight) {groups=2, sizes=[3, 4]}
  t19: f32[T,14] = linear(c.4, W.2)
  k.3: f32[T,6], v.3: f32[T,8] = split(t19) {sizes=[6, 8]}
  t20: f32[T,8] = concat(k.3, r.2) {groups=2}
  K.2: f32[S,8] = keep(t20, layers.2.keys)
  V.2: f32[S,8] = keep(v.3, layers.2.values)
  y.4: f32[T,8] = attention(q.4, K.2, V.2) {groups=2, heads=2, head_dim=4, scale=0.5}
  o.3: f32[T,8] = linear(y.4, layers.2.mla.out_proj.weight)
  o.4: f32[T,8] = mul(o.3, 0.5)
  h.4: f32[T,8] = add(h.3, o.4)
  t21: f32[R,8] = take(h.4, pick)
  u.4: f32[R,8] = rmsnorm(t21, norm.weight) {eps=1e-05}
  logits: f32[R,16] = linear(u.4, head.weight)
  output logits
}
