A scaling of rotary positions whose keys are not all there.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2,
 "vocab_size": 160, "max_position_embeddings": 128, "rope_scaling": {"rope_type": "llama3", "factor": 2}}
--ERR--
error: the key 'rope_parameters.low_freq_factor' or 'rope_scaling.low_freq_factor' is missing
error: the key 'rope_parameters.high_freq_factor' or 'rope_scaling.high_freq_factor' is missing
note: family llama, layout transformers needs it
--EXIT--
2
