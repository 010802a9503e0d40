flash-linear-attention as it wrote the limit before: norm_eps tells it from transformers' layout.
--ARGS--
import @TMP@
--FILE config.json--
{
  "model_type": "mamba2", "vocab_size": 160, "hidden_size": 64, "num_hidden_layers": 3, "num_heads": 4,
  "state_size": 32, "norm_eps": 0.001, "rms_norm": true, "time_step_limit": [0.25, "Infinity"]
}
--CONTAINS--
eps: 0.001
  - {block: mamba2, repeat: 3, state: 32, head_dim: 32, expand: 2, groups: 1, conv: 4, conv_bias: true, bias: false, dt_limit: [0.25, Infinity]}
