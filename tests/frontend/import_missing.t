--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba2", "hidden_size": 64, "num_heads": 8, "head_dim": 16, "state_size": 32}
--ERR--
error: the key 'vocab_size' is missing
error: the key 'num_hidden_layers' is missing
note: family mamba2, layout transformers needs it
--EXIT--
2
