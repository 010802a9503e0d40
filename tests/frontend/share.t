Layers that share the weights of a block, but for those that are of each layer; states are never shared.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: shared
vocab: 16
dim: 8
layers:
  - {block: twice, share: a}
  - {block: twice, share: b}
  - {block: twice, share: a}
blocks:
  - block: twice
    weights: {w: {shape: [dim, dim], init: linear}, c: {shape: [dim, 1, 4], init: conv}, own: {shape: [dim], init: ones, own: true}}
    ops: ["h = embedded + linear(conv1d(in, c) * own, w)"]
weights: {init: reference, seed: 1}
tensors: {"*": "*"}
--EXPECT--
graph "shared" model {
  weights "init:reference"
  seed 1
  block 512
  input ids: i32[T]
  input pick: i32[R]
  weight embedding.weight: f32[16,8] tensor="embedding.weight" init=normal_embed
  weight norm.weight: f32[8] tensor="norm.weight" init=ones
  weight head.weight: f32[16,8] tensor="head.weight" init=uniform_fan_in
  weight shared.a.w: f32[8,8] tensor="shared.a.w" init=linear
  weight shared.a.c: f32[8,1,4] tensor="shared.a.c" init=conv
  weight layers.0.shared.a.0.own: f32[8] tensor="layers.0.shared.a.0.own" init=ones
  weight shared.b.w: f32[8,8] tensor="shared.b.w" init=linear
  weight shared.b.c: f32[8,1,4] tensor="shared.b.c" init=conv
  weight layers.1.shared.b.1.own: f32[8] tensor="layers.1.shared.b.1.own" init=ones
  weight layers.2.shared.a.2.own: f32[8] tensor="layers.2.shared.a.2.own" init=ones
  state layers.0.conv1d: f32[3,8]
  state layers.1.conv1d: f32[3,8]
  state layers.2.conv1d: f32[3,8]
  h: f32[T,8] = embed(ids, embedding.weight)
  t1: f32[T,8] = conv1d(h, shared.a.c, _, layers.0.conv1d)
  t2: f32[T,8] = mul(t1, layers.0.shared.a.0.own)
  t3: f32[T,8] = linear(t2, shared.a.w)
  h.2: f32[T,8] = add(h, t3)
  t4: f32[T,8] = conv1d(h.2, shared.b.c, _, layers.1.conv1d)
  t5: f32[T,8] = mul(t4, layers.1.shared.b.1.own)
  t6: f32[T,8] = linear(t5, shared.b.w)
  h.3: f32[T,8] = add(h, t6)
  t7: f32[T,8] = conv1d(h.3, shared.a.c, _, layers.2.conv1d)
  t8: f32[T,8] = mul(t7, layers.2.shared.a.2.own)
  t9: f32[T,8] = linear(t8, shared.a.w)
  h.4: f32[T,8] = add(h, t9)
  t10: f32[R,8] = take(h.4, pick)
  u: f32[R,8] = rmsnorm(t10, norm.weight) {eps=1e-05}
  logits: f32[R,16] = linear(u, head.weight)
  output logits
}
