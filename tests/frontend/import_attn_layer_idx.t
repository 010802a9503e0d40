A hybrid of mamba_ssm: attention with a convolution at the indices of a list, and MLPs.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 2560, "d_intermediate": 100, "n_layer": 6, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"},
 "attn_layer_idx": [2, 4], "attn_cfg": {"causal": true, "d_conv": 4, "head_dim": 128, "num_heads": 30,
  "out_proj_bias": false, "qkv_proj_bias": false, "rotary_emb_dim": 64},
 "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 16, "tie_embeddings": true}
--CONTAINS--
vocab: 50288
dim: 2560
eps: 1.0e-5
tie_embeddings: true
layers:
  order: "MM*M*M"
  kinds:
    "*":
      parts:
        - {block: attention, heads: 30, head_dim: 128, rotary: 64, conv: 4}
        - {block: mlp, inner: 128, up_first: true}
    M:
      parts:
        - {block: mamba2, state: 128, head_dim: 64, expand: 2, groups: 1, conv: 4, conv_bias: true, bias: false}
        - {block: mlp, inner: 128, up_first: true}
family: mamba2
weights: @TMP@
