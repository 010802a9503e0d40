A family, or names of one's own, say under which tensors the weights are found.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
tie_embeddings: true
tensors:
  layers.<i>.mixer.D: [blk.<i>.ssm_d, blk.<i>.D]
  layers.<i>.mixer.*: blk.<i>.mix.*
weights: {init: reference}
--CONTAINS--
weight embedding.weight: f32[16,8] tensor="embedding.weight"
weight layers.0.mixer.D: f32[2] tensor="blk.0.ssm_d|blk.0.D"
weight layers.0.mixer.A_log: f32[2] tensor="blk.0.mix.A_log"
