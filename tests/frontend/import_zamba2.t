Zamba2: two attention blocks in turns, whose weights the layers share, with adapters for each use.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "zamba2", "adapter_rank": 8, "add_bias_linear": false, "hidden_act": "gelu", "hidden_size": 64,
 "hybrid_layer_ids": [1, 3, 4], "intermediate_size": 96, "mamba_d_conv": 4, "mamba_d_state": 32, "mamba_expand": 2,
 "mamba_headdim": 16, "mamba_ngroups": 1, "n_mamba_heads": 8, "num_attention_heads": 4, "num_hidden_layers": 6,
 "num_mem_blocks": 2, "rms_norm_eps": 1e-05, "tie_word_embeddings": true, "time_step_limit": null,
 "use_mem_rope": true, "use_shared_attention_adapter": true, "vocab_size": 160}
--CONTAINS--
vocab: 160
dim: 64
eps: 1e-05
tie_embeddings: true
layers:
  order: MAMBAM
  kinds:
    M: {block: mamba2, state: 32, head_dim: 16, expand: 2, groups: 1, conv: 4, conv_bias: true, dt_limit: [0.001, .inf]}
    A:
      parallel:
        - {block: shared_attention, share: 1, heads: 4, groups: 4, rotary: 32, scale: 0.25, inner: 96, rank: 8, qkv_rank: 8}
        - {block: mamba2, state: 32, head_dim: 16, expand: 2, groups: 1, conv: 4, conv_bias: true, dt_limit: [0.001, .inf]}
    B:
      parallel:
        - {block: shared_attention, share: 3, heads: 4, groups: 4, rotary: 32, scale: 0.25, inner: 96, rank: 8, qkv_rank: 8}
        - {block: mamba2, state: 32, head_dim: 16, expand: 2, groups: 1, conv: 4, conv_bias: true, dt_limit: [0.001, .inf]}
family: zamba2
weights: @TMP@
