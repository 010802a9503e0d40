A list of layer types of another length than there are layers.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "granitemoehybrid", "hidden_size": 64, "layer_types": ["mamba", "mamba"],
 "num_hidden_layers": 3, "num_attention_heads": 4, "num_local_experts": 0,
 "shared_intermediate_size": 96, "mamba_n_heads": 8, "vocab_size": 160}
--ERR--
error: len(layer_types) = 2, but num_hidden_layers = 3
--EXIT--
2
