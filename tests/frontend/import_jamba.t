Jamba: attention and experts every so many layers, which repeat.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["JambaForCausalLM"], "attn_layer_offset": 4, "attn_layer_period": 8, "expert_layer_offset": 1,
 "expert_layer_period": 2, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "mamba_conv_bias": true,
 "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_dt_rank": 256, "mamba_expand": 2, "mamba_proj_bias": false,
 "model_type": "jamba", "num_attention_heads": 32, "num_experts": 16, "num_experts_per_tok": 2, "num_hidden_layers": 32,
 "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "vocab_size": 65536}
--CONTAINS--
vocab: 65536
dim: 4096
eps: 1e-06
tie_embeddings: false
layers:
  repeat: 4
  order: mMmMaMmM
  kinds:
    a:
      parts:
        - {block: attention, heads: 32, groups: 8, rotary: 0}
        - {block: mlp, inner: 14336}
    m:
      parts:
        - {block: mamba1, state: 16, inner: 8192, dt_rank: 256, conv: 4, conv_bias: true, inner_norm: learned, inner_eps: 1e-06}
        - {block: mlp, inner: 14336}
    M:
      parts:
        - {block: mamba1, state: 16, inner: 8192, dt_rank: 256, conv: 4, conv_bias: true, inner_norm: learned, inner_eps: 1e-06}
        - {block: moe, experts: 16, top: 2, inner: 14336, normalise: false}
family: jamba
weights: @TMP@
