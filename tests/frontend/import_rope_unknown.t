A scaling of rotary positions that is not known.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2,
 "vocab_size": 160, "rope_scaling": {"type": "dynamic", "factor": 2}}
--ERR--
@TMP@/config.json:2:46: error: rope_scaling.type is 'dynamic'; only 'default' or 'linear' or 'llama3' or 'yarn' or 'longrope' can be compiled
--EXIT--
2
