Parallel blocks start from the same stream and add to it one after the other; one may change what those behind it read.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: side
vocab: 16
dim: 8
layers:
  - repeat: 2
    parts:
      - parallel:
          - {block: norm}
          - {block: mlp, norm: none, inner: 4, act: relu2, gated: false}
          - {block: mlp, name: other, norm: none, inner: 6, act: gelu}
      - {block: mlp, name: last, inner: 8, residual: 0.5}
weights: {init: reference, seed: 1}
tensors: {"*": "*"}
--EXPECT--
graph "side" model {
  weights "init:reference"
  seed 1
  block 512
  input ids: i32[T]
  input pick: i32[R]
  weight embedding.weight: f32[16,8] tensor="embedding.weight" init=normal_embed
  weight norm.weight: f32[8] tensor="norm.weight" init=ones
  weight head.weight: f32[16,8] tensor="head.weight" init=uniform_fan_in
  weight layers.0.norm.weight: f32[8] tensor="layers.0.norm.weight" init=ones
  weight layers.0.mlp.up.weight: f32[4,8] tensor="layers.0.mlp.up.weight" init=uniform_fan_in
  weight layers.0.mlp.down.weight: f32[8,4] tensor="layers.0.mlp.down.weight" init=out_proj
  weight layers.0.other.mlp.gate_up.weight: f32[12,8] tensor="layers.0.other.mlp.gate_up.weight" init=uniform_fan_in
  weight layers.0.other.mlp.down.weight: f32[8,6] tensor="layers.0.other.mlp.down.weight" init=out_proj
  weight layers.0.last.mlp.norm.weight: f32[8] tensor="layers.0.last.mlp.norm.weight" init=ones
  weight layers.0.last.mlp.gate_up.weight: f32[16,8] tensor="layers.0.last.mlp.gate_up.weight" init=uniform_fan_in
  weight layers.0.last.mlp.down.weight: f32[8,8] tensor="layers.0.last.mlp.down.weight" init=out_proj
  weight layers.1.norm.weight: f32[8] tensor="layers.1.norm.weight" init=ones
  weight layers.1.mlp.up.weight: f32[4,8] tensor="layers.1.mlp.up.weight" init=uniform_fan_in
  weight layers.1.mlp.down.weight: f32[8,4] tensor="layers.1.mlp.down.weight" init=out_proj
  weight layers.1.other.mlp.gate_up.weight: f32[12,8] tensor="layers.1.other.mlp.gate_up.weight" init=uniform_fan_in
  weight layers.1.other.mlp.down.weight: f32[8,6] tensor="layers.1.other.mlp.down.weight" init=out_proj
  weight layers.1.last.mlp.norm.weight: f32[8] tensor="layers.1.last.mlp.norm.weight" init=ones
  weight layers.1.last.mlp.gate_up.weight: f32[16,8] tensor="layers.1.last.mlp.gate_up.weight" init=uniform_fan_in
  weight layers.1.last.mlp.down.weight: f32[8,8] tensor="layers.1.last.mlp.down.weight" init=out_proj
  h: f32[T,8] = embed(ids, embedding.weight)
  in: f32[T,8] = rmsnorm(h, layers.0.norm.weight) {eps=1e-05}
  a: f32[T,4] = linear(in, layers.0.mlp.up.weight)
  a.2: f32[T,4] = relu(a)
  a.3: f32[T,4] = square(a.2)
  o: f32[T,8] = linear(a.3, layers.0.mlp.down.weight)
  h.2: f32[T,8] = add(h, o)
  t1: f32[T,12] = linear(in, layers.0.other.mlp.gate_up.weight)
  a.4: f32[T,6], up: f32[T,6] = split(t1) {sizes=[6, 6]}
  a.5: f32[T,6] = gelu(a.4)
  a.6: f32[T,6] = mul(a.5, up)
  o.2: f32[T,8] = linear(a.6, layers.0.other.mlp.down.weight)
  h.3: f32[T,8] = add(h.2, o.2)
  u: f32[T,8] = rmsnorm(h.3, layers.0.last.mlp.norm.weight) {eps=1e-05}
  t2: f32[T,16] = linear(u, layers.0.last.mlp.gate_up.weight)
  a.7: f32[T,8], up.2: f32[T,8] = split(t2) {sizes=[8, 8]}
  a.8: f32[T,8] = silu(a.7)
  a.9: f32[T,8] = mul(a.8, up.2)
  o.3: f32[T,8] = linear(a.9, layers.0.last.mlp.down.weight)
  o.4: f32[T,8] = mul(o.3, 0.5)
  h.4: f32[T,8] = add(h.3, o.4)
  in.2: f32[T,8] = rmsnorm(h.4, layers.1.norm.weight) {eps=1e-05}
  a.10: f32[T,4] = linear(in.2, layers.1.mlp.up.weight)
  a.11: f32[T,4] = relu(a.10)
  a.12: f32[T,4] = square(a.11)
  o.5: f32[T,8] = linear(a.12, layers.1.mlp.down.weight)
  h.5: f32[T,8] = add(h.4, o.5)
  t3: f32[T,12] = linear(in.2, layers.1.other.mlp.gate_up.weight)
  a.13: f32[T,6], up.3: f32[T,6] = split(t3) {sizes=[6, 6]}
  a.14: f32[T,6] = gelu(a.13)
  a.15: f32[T,6] = mul(a.14, up.3)
  o.6: f32[T,8] = linear(a.15, layers.1.other.mlp.down.weight)
  h.6: f32[T,8] = add(h.5, o.6)
  u.2: f32[T,8] = rmsnorm(h.6, layers.1.last.mlp.norm.weight) {eps=1e-05}
  t4: f32[T,16] = linear(u.2, layers.1.last.mlp.gate_up.weight)
  a.16: f32[T,8], up.4: f32[T,8] = split(t4) {sizes=[8, 8]}
  a.17: f32[T,8] = silu(a.16)
  a.18: f32[T,8] = mul(a.17, up.4)
  o.7: f32[T,8] = linear(a.18, layers.1.last.mlp.down.weight)
  o.8: f32[T,8] = mul(o.7, 0.5)
  h.7: f32[T,8] = add(h.6, o.8)
  t5: f32[R,8] = take(h.7, pick)
  u.3: f32[R,8] = rmsnorm(t5, norm.weight) {eps=1e-05}
  logits: f32[R,16] = linear(u.3, head.weight)
  output logits
}
