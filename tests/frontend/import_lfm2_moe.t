LFM2 with experts: MLPs in the first layers, then experts that a bias helps to choose, as a config.json says with defaults.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "lfm2_moe", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
 "intermediate_size": 96, "moe_intermediate_size": 32, "num_experts": 8, "num_experts_per_tok": 2, "num_dense_layers": 2,
 "layer_types": ["conv", "full_attention", "conv", "full_attention"], "norm_topk_prob": false, "use_expert_bias": false,
 "rope_theta": 1000000.0, "vocab_size": 160}
--CONTAINS--
tie_embeddings: true
layers:
  order: caCA
        - {block: attention, heads: 4, groups: 2, head_dim: 16, theta: 1000000.0, qk_norm: head}
        - {block: moe, experts: 8, top: 2, inner: 32, score: sigmoid, normalise: false}
        - {block: mlp, inner: 96}
