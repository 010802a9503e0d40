What would be another model is refused, key by key.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 768, "n_layer": 24, "vocab_size": 50277, "attn_layer_idx": [3],
 "attn_cfg": {"num_heads": 12, "causal": false, "mlp_dim": 256},
 "ssm_cfg": {"layer": "Mamba2", "norm_before_gate": true}, "rms_norm": false}
--ERR--
error: attn_cfg.causal is 'false'; only 'true' can be compiled
error: attn_cfg.mlp_dim is '256'; only '0' can be compiled
@TMP@/config.json:3:53: error: ssm_cfg.norm_before_gate is 'true'; only 'false' can be compiled
@TMP@/config.json:3:72: error: rms_norm is 'false'; only 'true' can be compiled
--EXIT--
2
