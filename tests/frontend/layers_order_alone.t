`layers` may be one entry, as an order of kinds is; keys put everywhere reach every kind.
--ARGS--
compile @IN@ --emit graph --set layers.*.with=7 --set layers.kinds.b.plus=2
--IN yaml--
vocab: 16
dim: 8
layers: {order: ab, kinds: {a: {block: one}, b: {block: two}}}
blocks:
  - {block: one, params: {with: 1}, ops: [h = h * with]}
  - {block: two, params: {with: 1, plus: 1}, ops: [h = h * with + plus]}
weights: {init: reference, seed: 1}
--CONTAINS--
h.2: f32[T,8] = mul(h, 7)
= mul(h.2, 7)
, 2)
