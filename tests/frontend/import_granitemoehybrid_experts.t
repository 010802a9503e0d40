Granite 4 with experts, and with rotary positions.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "granitemoehybrid", "hidden_size": 64, "intermediate_size": 48, "layers_block_type": ["mamba", "attention"],
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4,
 "num_experts_per_tok": 2, "shared_intermediate_size": 96, "mamba_n_heads": 8, "mamba_d_state": 32, "vocab_size": 160,
 "position_embedding_type": "rope", "rope_theta": 500000.0, "mamba_d_head": "auto"}
--EXPECT--
