Granite 4 as published: layer types by their older names, multipliers, no positions; equal layers as a text of kinds.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["GraniteMoeHybridForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
 "attention_multiplier": 0.015625, "bos_token_id": 100257, "embedding_multiplier": 12, "eos_token_id": 100257,
 "hidden_act": "silu", "hidden_size": 768, "init_method": "mup", "initializer_range": 0.1, "intermediate_size": 2048,
 "layer_types": ["mamba", "mamba", "attention", "mamba", "mamba", "attention", "mamba"],
 "logits_scaling": 3, "mamba_chunk_size": 256, "mamba_conv_bias": true, "mamba_d_conv": 4, "mamba_d_head": 32,
 "mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 48, "mamba_proj_bias": false,
 "max_position_embeddings": 32768, "model_type": "granitemoehybrid", "normalization_function": "rmsnorm",
 "num_attention_heads": 12, "num_experts_per_tok": 0, "num_hidden_layers": 7, "num_key_value_heads": 4,
 "num_local_experts": 0, "output_router_logits": false, "position_embedding_type": "nope", "residual_multiplier": 0.246,
 "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 10000, "router_aux_loss_coef": 0.0,
 "shared_intermediate_size": 2048, "tie_word_embeddings": true, "vocab_size": 100352}
--CONTAINS--
vocab: 100352
dim: 768
eps: 1e-05
tie_embeddings: true
eos: 100257
frame: {embed_scale: 12, logits_scale: 0.3333333333333333}
layers:
  order: "MM*MM*M"
  kinds:
    M:
      parts:
        - {block: mamba2, state: 128, head_dim: 32, expand: 2, groups: 1, conv: 4, conv_bias: true, residual: 0.246}
        - {block: mlp, inner: 2048, residual: 0.246}
    "*":
      parts:
        - {block: attention, heads: 12, groups: 4, rotary: 0, scale: 0.015625, residual: 0.246}
        - {block: mlp, inner: 2048, residual: 0.246}
family: granitemoehybrid
weights: @TMP@
--LACKS--
note:
