--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba2", "vocab_size": 160, "hidden_size": 64, "num_hidden_layers": 3, "num_heads": 4, "state_size": 32,
 "rmsnorm": false, "norm_before_gate": true, "D_has_hdim": true}
--ERR--
@TMP@/config.json:2:13: error: rmsnorm is 'false'; only 'true' can be compiled
@TMP@/config.json:2:40: error: norm_before_gate is 'true'; only 'false' can be compiled
@TMP@/config.json:2:60: error: D_has_hdim is 'true'; only 'false' can be compiled
--EXIT--
2
