--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "llama"}
--ERR--
@TMP@/config.json:1:16: error: model_type is 'llama'; known are model_type "mamba", model_type "falcon_mamba", model_type "mamba2", ssm_cfg.layer "Mamba2"
--EXIT--
2
