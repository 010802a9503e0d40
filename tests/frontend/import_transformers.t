A transformers config.json, with Infinity as JSON writers spell it.
--ARGS--
import @TMP@
--FILE config.json--
{
  "model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"],
  "vocab_size": 160, "hidden_size": 64, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 16,
  "state_size": 32, "n_groups": 2, "expand": 2, "conv_kernel": 4, "chunk_size": 32,
  "time_step_limit": [0.0, Infinity], "use_bias": false, "use_conv_bias": true,
  "layer_norm_epsilon": 1e-05, "tie_word_embeddings": false, "eos_token_id": [2, 3],
  "norm_before_gate": true, "hidden_act": "silu", "rms_norm": true
}
--CONTAINS--
vocab: 160
dim: 64
eps: 1e-05
tie_embeddings: false
eos: [2, 3]
  - {block: mamba2, repeat: 3, state: 32, head_dim: 16, expand: 2, groups: 2, conv: 4, conv_bias: true, bias: false, dt_limit: [0.0, .inf]}
family: mamba2
weights: @TMP@
--LACKS--
chunk
tokenizer
