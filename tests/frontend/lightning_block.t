The block lightning, whose residual is of what its norm gives; and attention of that kind.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: small
vocab: 16
dim: 8
layers:
  - {block: lightning, heads: 2, carry: 3.5, residual: 0.5}
  - {block: attention, heads: 2, rotary: 0, carry: 1}
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
  weight layers.0.lightning.norm.weight: f32[8] tensor="layers.0.lightning.norm.weight" init=ones
  weight layers.0.lightning.qkv_proj.weight: f32[24,8] tensor="layers.0.lightning.qkv_proj.weight" init=uniform_fan_in
  weight layers.0.lightning.slopes: f32[2] tensor="layers.0.lightning.slopes" init=slopes
  weight layers.0.lightning.gated_norm.weight: f32[8] tensor="layers.0.lightning.gated_norm.weight" init=ones
  weight layers.0.lightning.gate.weight: f32[8,8] tensor="layers.0.lightning.gate.weight" init=uniform_fan_in
  weight layers.0.lightning.out_proj.weight: f32[8,8] tensor="layers.0.lightning.out_proj.weight" init=out_proj
  weight layers.1.attention.norm.weight: f32[8] tensor="layers.1.attention.norm.weight" init=ones
  weight layers.1.attention.qkv_proj.weight: f32[24,8] tensor="layers.1.attention.qkv_proj.weight" init=uniform_fan_in
  weight layers.1.attention.out_proj.weight: f32[8,8] tensor="layers.1.attention.out_proj.weight" init=out_proj
  state layers.0.lightning: f32[2,4,4]
  state layers.1.keys: f32[S,8]
  state layers.1.values: f32[S,8]
  h: f32[T,8] = embed(ids, embedding.weight)
  u: f32[T,8] = rmsnorm(h, layers.0.lightning.norm.weight) {eps=1e-05}
  h.2: f32[T,8] = mul(u, 3.5)
  W: f32[24,8] = regroup(layers.0.lightning.qkv_proj.weight) {groups=2, sizes=[4, 4, 4]}
  t1: f32[T,24] = linear(u, W)
  t2: f32[T,24] = silu(t1)
  q: f32[T,8], k: f32[T,8], v: f32[T,8] = split(t2) {sizes=[8, 8, 8]}
  t3: f32[T,8] = linear(u, layers.0.lightning.gate.weight)
  z: f32[T,8] = sigmoid(t3)
  some: f32[T,2], rest: f32[T,6] = split(z) {sizes=[2, 6]}
  dt: f32[T,2] = clamp(some) {range=[1, 1]}
  t4: f32[2] = log(layers.0.lightning.slopes)
  y: f32[T,8] = ssd(v, dt, t4, k, q, _, layers.0.lightning) {groups=2, heads=2, head_dim=4, state=4}
  y.2: f32[T,8] = rmsnorm(y, layers.0.lightning.gated_norm.weight) {eps=1e-05}
  t5: f32[T,8] = mul(y.2, z)
  o: f32[T,8] = linear(t5, layers.0.lightning.out_proj.weight)
  o.2: f32[T,8] = mul(o, 0.5)
  h.3: f32[T,8] = add(h.2, o.2)
  u.2: f32[T,8] = rmsnorm(h.3, layers.1.attention.norm.weight) {eps=1e-05}
  p: f32[T,24] = linear(u.2, layers.1.attention.qkv_proj.weight)
  q.2: f32[T,8], k.2: f32[T,8], v.2: f32[T,8] = split(p) {sizes=[8, 8, 8]}
  K: f32[S,8] = keep(k.2, layers.1.keys)
  V: f32[S,8] = keep(v.2, layers.1.values)
  y.3: f32[T,8] = attention(q.2, K, V) {groups=2, heads=2, head_dim=4, scale=0.5}
  o.3: f32[T,8] = linear(y.3, layers.1.attention.out_proj.weight)
  h.4: f32[T,8] = add(u.2, o.3)
  t6: f32[R,8] = take(h.4, pick)
  u.3: f32[R,8] = rmsnorm(t6, norm.weight) {eps=1e-05}
  logits: f32[R,16] = linear(u.3, head.weight)
  output logits
}
