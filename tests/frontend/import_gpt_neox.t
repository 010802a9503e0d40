Pythia as published: rotary_pct, parallel blocks, rows of queries, keys and values head by head.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": 512,
 "initializer_range": 0.02, "intermediate_size": 2048, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
 "model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25,
 "tie_word_embeddings": false, "use_parallel_residual": true, "vocab_size": 50304}
--CONTAINS--
vocab: 50304
dim: 512
eps: 1e-05
tie_embeddings: false
eos: 0
frame: {norm: layer}
layers:
  - repeat: 6
    parallel:
      - {block: attention, norm: layer, heads: 8, rotary: 16, bias: true, rows_by: head}
      - {block: mlp, norm: layer, inner: 2048, gated: false, act: gelu_erf, bias: true}
family: gpt_neox
weights: @TMP@
