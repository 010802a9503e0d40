Qwen3.5 with experts, defaults of its class left out.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "qwen3_5_moe_text", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_experts": 8,
 "layer_types": ["linear_attention", "full_attention"], "rope_parameters": {"rope_theta": 10000000, "rope_type": "default",
 "mrope_section": [11, 11, 10], "mrope_interleaved": true, "partial_rotary_factor": 0.25}, "vocab_size": 160}
--CONTAINS--
frame: {norm: offset}
        - {block: delta, state: 128, head_dim: 128, heads: 32, groups: 16, conv: 4, norm: offset}
        - {block: moe, experts: 8, top: 8, together: true, inner: 512, shared: 512, shared_gate: true, norm: offset}
        - {block: attention, heads: 4, groups: 2, head_dim: 256, rotary: 64, theta: 10000000, gated: true, qk_norm: offset, norm: offset}
        - {block: moe, experts: 8, top: 8, together: true, inner: 512, shared: 512, shared_gate: true, norm: offset}
