Nemotron-H as published: a pattern of letters; heads times their width are not twice the model's.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["NemotronHForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "attention_head_dim": 128,
 "bos_token_id": 1, "chunk_size": 128, "conv_kernel": 4, "eos_token_id": 12, "expand": 2, "head_dim": 128,
 "hidden_dropout": 0.0, "hidden_size": 3136, "hybrid_override_pattern": "M-M*M-M*", "initializer_range": 0.02,
 "intermediate_size": 12544, "layer_norm_epsilon": 1e-05, "mamba_head_dim": 80, "mamba_hidden_act": "silu",
 "mamba_num_heads": 96, "mamba_proj_bias": false, "max_position_embeddings": 131072, "mlp_bias": false,
 "mlp_hidden_act": "relu2", "model_type": "nemotron_h", "n_groups": 8, "num_attention_heads": 40, "num_hidden_layers": 8,
 "num_key_value_heads": 8, "num_logits_to_keep": 1, "rescale_prenorm_residual": true, "residual_in_fp32": false,
 "rms_norm_eps": 1e-05, "sliding_window": null, "ssm_state_size": 128, "tie_word_embeddings": false,
 "time_step_floor": 0.0001, "time_step_limit": [0.0, Infinity], "time_step_max": 0.1, "time_step_min": 0.001,
 "use_bias": false, "use_cache": true, "use_conv_bias": true, "use_mamba_kernels": true, "vocab_size": 131072}
--CONTAINS--
vocab: 131072
dim: 3136
eps: 1e-05
tie_embeddings: false
eos: 12
layers:
  repeat: 2
  order: "M-M*"
  kinds:
    M: {block: mamba2, state: 128, head_dim: 80, inner: 7680, groups: 8, conv: 4, conv_bias: true, dt_limit: [0.001, .inf]}
    "*": {block: attention, heads: 40, groups: 8, head_dim: 128, rotary: 0}
    "-": {block: mlp, inner: 12544, act: relu2, gated: false}
family: nemotron_h
weights: @TMP@
