Qwen3.5, dense, with keys of its pictures' positions.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "qwen3_5_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "vocab_size": 160, "layer_types": ["linear_attention", "full_attention"], "attn_output_gate": true,
 "mamba_ssm_dtype": "float32", "mtp_num_hidden_layers": 1, "tie_word_embeddings": true,
 "rope_parameters": {"rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25, "mrope_interleaved": true, "mrope_section": [11, 11, 10]}}
--CONTAINS--
tie_embeddings: true
frame: {norm: offset}
layers:
  order: DA
  kinds:
    D:
      parts:
        - {block: delta, state: 128, head_dim: 128, heads: 32, groups: 16, conv: 4, norm: offset}
        - {block: mlp, inner: 96, norm: offset}
    A:
      parts:
        - {block: attention, heads: 4, groups: 2, head_dim: 256, rotary: 64, theta: 10000000, gated: true, qk_norm: offset, norm: offset}
        - {block: mlp, inner: 96, norm: offset}
family: qwen3_5_text
