A published Llama: the keys of transformers 4, with a scaling of its rotary positions.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
 "eos_token_id": [128001, 128008], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
 "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
 "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
 "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
  "original_max_position_embeddings": 8192, "rope_type": "llama3"},
 "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 128256}
--CONTAINS--
vocab: 128256
dim: 2048
eps: 1e-05
tie_embeddings: true
eos: [128001, 128008]
layers:
  - repeat: 16
    parts:
      - {block: attention, heads: 32, groups: 8, head_dim: 64, theta: 500000.0, scaling: llama3, factors: [32.0, 1.0, 4.0, 8192]}
      - {block: mlp, inner: 8192}
family: llama
weights: @TMP@
--LACKS--
note:
