Falcon-H1: attention beside Mamba-2 on one norm, and a multiplier nearly everywhere.
--ARGS--
import @TMP@
--FILE config.json--
{"architectures": ["FalconH1ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
 "attention_in_multiplier": 1.0, "attention_out_multiplier": 0.9375, "bos_token_id": 1, "embedding_multiplier": 5.656854249492381,
 "eos_token_id": 11, "head_dim": 64, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 2048,
 "key_multiplier": 0.390625, "lm_head_multiplier": 0.0390625, "mamba_chunk_size": 128, "mamba_conv_bias": true,
 "mamba_d_conv": 4, "mamba_d_head": 64, "mamba_d_ssm": 1536, "mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1,
 "mamba_n_heads": 24, "mamba_norm_before_gate": false, "mamba_proj_bias": false, "mamba_rms_norm": true,
 "mamba_use_mlp": true, "max_position_embeddings": 16384, "mlp_bias": false, "mlp_multipliers": [0.8838834764831844, 0.5859375],
 "model_type": "falcon_h1", "num_attention_heads": 8, "num_hidden_layers": 36, "num_key_value_heads": 2,
 "projectors_bias": false, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 100000000000.0,
 "ssm_in_multiplier": 1.25, "ssm_multipliers": [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738],
 "ssm_out_multiplier": 0.23570226039551587, "tie_word_embeddings": false, "vocab_size": 32784}
--CONTAINS--
vocab: 32784
dim: 1024
eps: 1e-05
tie_embeddings: false
eos: 11
frame: {embed_scale: 5.656854249492381, logits_scale: 0.0390625}
layers:
  - repeat: 36
    parts:
      - parallel:
          - {block: norm}
          - {block: mamba2, norm: none, state: 128, head_dim: 64, inner: 1536, groups: 1, conv: 4, conv_bias: true, in_scale: 1.25, scales: [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738], residual: 0.23570226039551587}
          - {block: attention, norm: none, heads: 8, groups: 2, head_dim: 64, theta: 100000000000.0, key_scale: 0.390625, residual: 0.9375}
      - {block: mlp, inner: 2048, gate_scale: 0.8838834764831844, residual: 0.5859375}
family: falcon_h1
weights: @TMP@
