LFM2 as it was published first: which layers have attention is a list, the MLP's width is adjusted.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "lfm2", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
 "num_heads": 4, "block_dim": 64, "block_ff_dim": 1000, "block_multiple_of": 256, "block_auto_adjust_ff_dim": true,
 "block_ffn_dim_multiplier": 1.0, "block_norm_eps": 1e-5, "block_use_swiglu": true, "conv_L_cache": 3, "conv_bias": false,
 "conv_dim": 64, "full_attn_idxs": [2], "norm_eps": 1e-5, "rope_theta": 1000000.0, "theta": 1000000.0, "tie_embedding": true,
 "use_pos_enc": true, "vocab_size": 160}
--CONTAINS--
tie_embeddings: true
layers:
  order: CCAC
  kinds:
    A:
      parts:
        - {block: attention, heads: 4, groups: 2, head_dim: 16, theta: 1000000.0, qk_norm: head}
        - {block: mlp, inner: 768}
    C:
      parts:
        - {block: short_conv, conv: 3}
        - {block: mlp, inner: 768}
family: lfm2
