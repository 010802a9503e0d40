An OLMo hybrid without rotary positions; sizes of the delta rule follow from those of attention.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "olmo_hybrid", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
 "vocab_size": 160, "rope_parameters": null, "layer_types": ["linear_attention", "full_attention"],
 "linear_allow_neg_eigval": false}
--CONTAINS--
layers:
  order: DA
  kinds:
    D:
      parts:
        - {block: delta, state: 12, head_dim: 24, heads: 4, groups: 4, conv: 4, gated_eps: 1.0e-5}
        - {block: mlp, inner: 96}
    A:
      parts:
        - {block: attention, heads: 4, groups: 4, head_dim: 16, rotary: 0, qk_norm: row, norm: none, post_norm: rms}
        - {block: mlp, inner: 96, norm: none, post_norm: rms}
family: olmo_hybrid
