Mistral: a window over the last tokens, and heads that are wider than the model.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mistral", "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2,
 "head_dim": 128, "num_hidden_layers": 4, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096,
 "tie_word_embeddings": false, "vocab_size": 32000, "hidden_act": "silu", "eos_token_id": 2}
--CONTAINS--
vocab: 32000
dim: 512
eps: 1e-05
tie_embeddings: false
eos: 2
layers:
  - repeat: 4
    parts:
      - {block: attention, heads: 8, groups: 2, head_dim: 128, window: 4096}
      - {block: mlp, inner: 1024}
family: llama
weights: @TMP@
