Parameters of the frame.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
frame: {norm: layer, embed_scale: 12, logits_scale: 0.125}
layers: [{block: mlp, inner: 4}]
weights: {init: reference, seed: 1}
--CONTAINS--
h.2: f32[T,8] = mul(h, 12)
= layernorm(
, norm.weight, norm.bias) {eps=1e-05}
, 0.125)
