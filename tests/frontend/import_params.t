Mistral's own description, as Mistral-7B-v0.1 has it: no theta, but a window.
--ARGS--
import @TMP@
--FILE params.json--
{"dim": 4096, "n_layers": 32, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8, "norm_eps": 1e-05,
 "sliding_window": 4096, "vocab_size": 32000}
--CONTAINS--
vocab: 32000
dim: 4096
eps: 1e-05
tie_embeddings: false
layers:
  - repeat: 32
    parts:
      - {block: attention, heads: 32, groups: 8, head_dim: 128, pairs: neighbours, window: 4096}
      - {block: mlp, inner: 14336}
family: mistral
weights: @TMP@
