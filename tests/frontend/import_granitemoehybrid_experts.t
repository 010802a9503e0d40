Granite 4 with experts, and with rotary positions.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "granitemoehybrid", "hidden_size": 64, "intermediate_size": 48, "layers_block_type": ["mamba", "attention"],
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4,
 "num_experts_per_tok": 2, "shared_intermediate_size": 96, "mamba_n_heads": 8, "mamba_d_state": 32, "vocab_size": 160,
 "position_embedding_type": "rope", "rope_theta": 500000.0, "mamba_d_head": "auto"}
--CONTAINS--
vocab: 160
dim: 64
eps: 1.0e-6
tie_embeddings: false
layers:
  order: "M*"
  kinds:
    M:
      parts:
        - {block: mamba2, state: 32, head_dim: 16, expand: 2, groups: 1, conv: 4, conv_bias: true}
        - {block: moe, experts: 4, top: 2, inner: 48, shared: 96, together: true}
    "*":
      parts:
        - {block: attention, heads: 4, groups: 2, theta: 500000.0, scale: 1}
        - {block: moe, experts: 4, top: 2, inner: 48, shared: 96, together: true}
family: granitemoehybrid
weights: @TMP@
