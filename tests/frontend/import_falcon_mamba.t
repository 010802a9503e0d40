Falcon-Mamba: its expand is not what the weights have, and dt, B and C are normalised with an eps of their own.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "falcon_mamba", "vocab_size": 65024, "hidden_size": 4096, "num_hidden_layers": 64, "expand": 16,
 "intermediate_size": 8192, "state_size": 16, "conv_kernel": 4, "time_step_rank": 256, "layer_norm_epsilon": 1e-05,
 "mixer_rms_eps": 1e-06, "tie_word_embeddings": false, "eos_token_id": 11}
--CONTAINS--
dim: 4096
eps: 1e-05
tie_embeddings: false
  - {block: mamba1, repeat: 64, state: 16, inner: 8192, dt_rank: 256, conv: 4, conv_bias: true, bias: false, inner_norm: plain, inner_eps: 1e-06}
