What would be another model is refused, key by key.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 768, "d_intermediate": 4, "n_layer": 24, "vocab_size": 50277, "attn_layer_idx": [3],
 "ssm_cfg": {"layer": "Mamba2", "norm_before_gate": true}, "rms_norm": false}
--ERR--
@TMP@/config.json:1:36: error: d_intermediate is '4'; only '0' can be compiled
@TMP@/config.json:1:93: error: attn_layer_idx is [3]; only [] can be compiled
@TMP@/config.json:2:53: error: ssm_cfg.norm_before_gate is 'true'; only 'false' can be compiled
@TMP@/config.json:2:72: error: rms_norm is 'false'; only 'true' can be compiled
--EXIT--
2
