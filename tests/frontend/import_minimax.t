MiniMax: layers of lightning attention and of attention, experts in each, factors of both sides of a residual.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "minimax", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
 "head_dim": 16, "intermediate_size": 48, "layer_types": ["linear_attention", "linear_attention", "full_attention"],
 "full_attn_alpha_factor": 3.5565588200778455, "full_attn_beta_factor": 1.0, "linear_attn_alpha_factor": 3.5565588200778455,
 "linear_attn_beta_factor": 1.0, "mlp_alpha_factor": 3.5565588200778455, "mlp_beta_factor": 0.5, "block_size": 256,
 "num_local_experts": 8, "num_experts_per_tok": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000000, "vocab_size": 160}
--CONTAINS--
layers:
  order: LLA
  kinds:
    L:
      parts:
        - {block: lightning, heads: 4, head_dim: 16, gated_eps: 1.0e-6, carry: 3.5565588200778455}
        - {block: moe, experts: 8, top: 2, inner: 48, carry: 3.5565588200778455, residual: 0.5}
    A:
      parts:
        - {block: attention, heads: 4, groups: 2, head_dim: 16, theta: 10000000, carry: 3.5565588200778455}
        - {block: moe, experts: 8, top: 2, inner: 48, carry: 3.5565588200778455, residual: 0.5}
family: minimax
