Mamba-1's original layout names no layer; auto leaves the rank of dt to the block.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {"dt_rank": "auto"}, "rms_norm": true,
 "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 8}
--CONTAINS--
vocab: 50280
dim: 768
eps: 1.0e-5
tie_embeddings: true
  - {block: mamba1, repeat: 24, state: 16, expand: 2, conv: 4, conv_bias: true, bias: false}
family: mamba1
