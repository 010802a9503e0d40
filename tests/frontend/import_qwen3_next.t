Qwen3-Next as published: attention every few layers, some of them with an MLP.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "qwen3_next", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 32, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
 "shared_expert_intermediate_size": 48, "vocab_size": 160, "full_attention_interval": 3, "mlp_only_layers": [1],
 "rope_theta": 10000000, "partial_rotary_factor": 0.25, "linear_num_value_heads": 8, "linear_num_key_heads": 4}
--CONTAINS--
vocab: 160
dim: 64
eps: 1.0e-6
tie_embeddings: false
frame: {norm: offset}
layers:
  order: DdADDA
  kinds:
    d:
      parts:
        - {block: delta, state: 128, head_dim: 128, heads: 8, groups: 4, conv: 4, norm: offset, rows_by: group}
        - {block: mlp, inner: 96, norm: offset}
    D:
      parts:
        - {block: delta, state: 128, head_dim: 128, heads: 8, groups: 4, conv: 4, norm: offset, rows_by: group}
        - {block: moe, experts: 8, top: 2, inner: 32, shared: 48, shared_gate: true, norm: offset}
    A:
      parts:
        - {block: attention, heads: 4, groups: 2, head_dim: 32, rotary: 8, theta: 10000000, gated: true, qk_norm: offset, norm: offset}
        - {block: moe, experts: 8, top: 2, inner: 32, shared: 48, shared_gate: true, norm: offset}
family: qwen3_next
weights: @TMP@
