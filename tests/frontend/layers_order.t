Layers in an order of kinds: a text of letters, or a list of names; a group of them repeats.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
name: kinds
vocab: 16
dim: 8
layers:
  - {repeat: 2, order: ab, kinds: {a: {block: bias, with: 1}, b: {block: bias, with: 2}}}
  - {order: [first, second], kinds: {second: {block: bias, with: 4}, first: {block: bias, with: 3}}}
blocks:
  - block: bias
    params: {with: 1}
    weights: {b: {shape: [dim], init: zeros}}
    ops:
      - h = h + b
      - h = h * with
weights: {init: reference, seed: 1}
--CONTAINS--
h.3: f32[T,8] = mul(h.2, 1)
h.5: f32[T,8] = mul(h.4, 2)
h.6: f32[T,8] = add(h.5, layers.2.b)
h.7: f32[T,8] = mul(h.6, 1)
h.11: f32[T,8] = mul(h.10, 3)
h.12: f32[T,8] = add(h.11, layers.5.b)
h.13: f32[T,8] = mul(h.12, 4)
