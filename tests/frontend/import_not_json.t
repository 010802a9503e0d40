--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba2",
 "hidden_size": [1, 2}
--ERR--
@TMP@/config.json:2:22: error: this is not JSON
--EXIT--
2
