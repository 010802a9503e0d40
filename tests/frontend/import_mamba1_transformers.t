A transformers config.json of Mamba-1; the inner width, left out, follows from expand.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba", "architectures": ["MambaForCausalLM"], "vocab_size": 160, "hidden_size": 64,
 "num_hidden_layers": 3, "state_size": 16, "expand": 2, "conv_kernel": 4, "time_step_rank": 4, "use_bias": false,
 "use_conv_bias": true, "layer_norm_epsilon": 1e-05, "hidden_act": "silu", "use_mambapy": false, "eos_token_id": 2}
--CONTAINS--
tie_embeddings: true
eos: 2
  - {block: mamba1, repeat: 3, state: 16, inner: 128, dt_rank: 4, conv: 4, conv_bias: true, bias: false}
family: mamba1
--LACKS--
inner_norm
