A kind of layer that the family does not have.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "granitemoehybrid", "hidden_size": 64, "layer_types": ["mamba", "retention"],
 "num_hidden_layers": 2, "num_attention_heads": 4, "num_local_experts": 0,
 "shared_intermediate_size": 96, "mamba_n_heads": 8, "vocab_size": 160}
--ERR--
@TMP@/config.json:1:70: error: layer 1, 'retention', is of no kind that family granitemoehybrid knows
note: the kinds it knows are here
--EXIT--
2
