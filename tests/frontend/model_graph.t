A model's YAML becomes a graph: parameters of the blocks, a tied head, a state of each op that has one.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: small
vocab: 16
dim: 8
tie_embeddings: true
layers:
  - {block: mamba2, state: 4, head_dim: 8, groups: 2, dt_limit: [0.01, 0.2], chunk: 16}
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
  weight layers.0.norm.weight: f32[8] tensor="layers.0.norm.weight" init=ones
  weight layers.0.mixer.in_proj.weight: f32[50,8] tensor="layers.0.mixer.in_proj.weight" init=uniform_fan_in
  weight layers.0.mixer.conv1d.weight: f32[32,1,4] tensor="layers.0.mixer.conv1d.weight" init=uniform_fan_in
  weight layers.0.mixer.conv1d.bias: f32[32] tensor="layers.0.mixer.conv1d.bias" init=zeros
  weight layers.0.mixer.dt_bias: f32[2] tensor="layers.0.mixer.dt_bias" init=dt_bias
  weight layers.0.mixer.A_log: f32[2] tensor="layers.0.mixer.A_log" init=a_log
  weight layers.0.mixer.D: f32[2] tensor="layers.0.mixer.D" init=ones
  weight layers.0.mixer.norm.weight: f32[16] tensor="layers.0.mixer.norm.weight" init=ones
  weight layers.0.mixer.out_proj.weight: f32[8,16] tensor="layers.0.mixer.out_proj.weight" init=out_proj
  state layers.0.conv: f32[3,32]
  state layers.0.ssm: f32[2,4,8]
  h: f32[T,8] = embed(ids, embedding.weight)
  u: f32[T,8] = rmsnorm(h, layers.0.norm.weight) {eps=1e-05}
  p: f32[T,50] = linear(u, layers.0.mixer.in_proj.weight) {precise=2}
  z: f32[T,16], xbc: f32[T,32], dt: f32[T,2] = split(p) {sizes=[16, 32, 2]}
  t1: f32[T,32] = conv1d(xbc, layers.0.mixer.conv1d.weight, layers.0.mixer.conv1d.bias, layers.0.conv)
  xbc.2: f32[T,32] = silu(t1)
  x: f32[T,16], B: f32[T,8], C: f32[T,8] = split(xbc.2) {sizes=[16, 8, 8]}
  t2: f32[T,2] = add(dt, layers.0.mixer.dt_bias)
  t3: f32[T,2] = softplus(t2)
  dt.2: f32[T,2] = clamp(t3) {range=[0.01, 0.2]}
  y: f32[T,16] = ssd(x, dt.2, layers.0.mixer.A_log, B, C, layers.0.mixer.D, layers.0.ssm) {groups=2, heads=2, head_dim=8, state=4, form=auto, chunk=16, dot=auto}
  t4: f32[T,16] = silu(z)
  t5: f32[T,16] = mul(y, t4)
  y.2: f32[T,16] = rmsnorm(t5, layers.0.mixer.norm.weight) {eps=1e-05, groups=2}
  o: f32[T,8] = linear(y.2, layers.0.mixer.out_proj.weight)
  h.2: f32[T,8] = add(h, o)
  t6: f32[R,8] = take(h.2, pick)
  u.2: f32[R,8] = rmsnorm(t6, norm.weight) {eps=1e-05}
  logits: f32[R,16] = linear(u.2, embedding.weight)
  output logits
}
--LACKS--
head.weight
