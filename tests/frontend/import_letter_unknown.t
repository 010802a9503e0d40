A letter of a pattern that is no kind of layer.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "nemotron_h", "vocab_size": 160, "hidden_size": 64, "hybrid_override_pattern": "MEX*",
 "num_attention_heads": 4, "mamba_num_heads": 8}
--ERR--
@TMP@/config.json:1:95: error: layer 2, 'X', is of no kind that family nemotron_h knows
note: the kinds it knows are here
--EXIT--
2
