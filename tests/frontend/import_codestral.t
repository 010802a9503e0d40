Codestral Mamba's own description.
--ARGS--
import @TMP@
--FILE params.json--
{"dim": 4096, "n_layers": 64, "vocab_size": 32768, "n_groups": 8, "tie_embeddings": false, "residual_in_fp32": true,
 "pad_vocab_size_multiple": 1, "fused_add_norm": true, "rms_norm": true, "model_type": "mamba"}
--CONTAINS--
vocab: 32768
dim: 4096
eps: 1.0e-5
tie_embeddings: false
layers:
  - {block: mamba2, repeat: 64, state: 128, head_dim: 64, expand: 2, groups: 8, conv: 4, conv_bias: true, bias: false}
family: mamba2
weights: @TMP@
