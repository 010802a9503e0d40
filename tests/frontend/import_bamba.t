Bamba: attention at the indices of a list, half of the channels turned.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["BambaForCausalLM"], "attention_bias": false, "attn_layer_indices": [9, 18, 27], "attn_rotary_emb": 64,
 "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "mamba_chunk_size": 256, "mamba_conv_bias": true,
 "mamba_d_conv": 4, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 128,
 "mamba_proj_bias": false, "model_type": "bamba", "num_attention_heads": 32, "num_hidden_layers": 32,
 "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": false, "vocab_size": 128256}
--CONTAINS--
vocab: 128256
dim: 4096
eps: 1e-05
tie_embeddings: false
layers:
  order: "MMMMMMMMM*MMMMMMMM*MMMMMMMM*MMMM"
  kinds:
    "*":
      parts:
        - {block: attention, heads: 32, groups: 8, rotary: 64}
        - {block: mlp, inner: 14336}
    M:
      parts:
        - {block: mamba2, state: 128, head_dim: 64, expand: 2, groups: 1, conv: 4, conv_bias: true}
        - {block: mlp, inner: 14336}
family: bamba
weights: @TMP@
