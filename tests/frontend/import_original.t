The original layout leaves out what the module's defaults say, and pads the vocabulary.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 768, "d_intermediate": 0, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"},
 "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true, "residual_in_fp32": true, "fused_add_norm": true,
 "pad_vocab_size_multiple": 16, "tie_embeddings": true}
--CONTAINS--
vocab: 50288
dim: 768
eps: 1.0e-5
tie_embeddings: true
  - {block: mamba2, repeat: 24, state: 128, head_dim: 64, expand: 2, groups: 1, conv: 4, conv_bias: true, bias: false}
