Nemotron 3: experts chosen by sigmoids with a correction, in groups.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "nemotron_h", "hidden_size": 64, "hybrid_override_pattern": "MEM*E", "mamba_num_heads": 8,
 "mamba_head_dim": 16, "n_groups": 2, "ssm_state_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
 "head_dim": 16, "vocab_size": 160, "n_routed_experts": 16, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
 "moe_shared_expert_intermediate_size": 48, "routed_scaling_factor": 2.5, "n_group": 4, "topk_group": 2,
 "norm_topk_prob": true, "n_shared_experts": 1}
--CONTAINS--
vocab: 160
dim: 64
eps: 1.0e-5
tie_embeddings: false
layers:
  order: "MEM*E"
  kinds:
    M: {block: mamba2, state: 32, head_dim: 16, inner: 128, groups: 2, conv: 4, conv_bias: true, dt_limit: [0.001, .inf]}
    "*": {block: attention, heads: 4, groups: 2, head_dim: 16, rotary: 0}
    E: {block: moe, experts: 16, top: 3, inner: 32, shared: 48, act: relu2, gated: false, score: sigmoid, correction: true, groups: 4, kept: 2, factor: 2.5}
family: nemotron_h
weights: @TMP@
