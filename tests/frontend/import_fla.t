flash-linear-attention's names for the epsilon and the limit, and its one group. What only its training uses is no news.
--ARGS--
import @TMP@
--FILE config.json--
{
  "model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "vocab_size": 160, "hidden_size": 64,
  "num_hidden_layers": 3, "head_dim": 32, "num_heads": 4, "state_size": 32, "expand": 2, "conv_kernel": 4,
  "norm_eps": 1e-06, "dt_limit": [0.01, 0.2], "rmsnorm": true, "norm_before_gate": false, "D_has_hdim": false,
  "fuse_norm": true, "A_init_range": [1, 16], "dt_min": 0.001, "use_l2warp": false, "hidden_act": "silu"
}
--CONTAINS--
eps: 1e-06
  - {block: mamba2, repeat: 3, state: 32, head_dim: 32, expand: 2, groups: 1, conv: 4, conv_bias: true, bias: false, dt_limit: [0.01, 0.2]}
