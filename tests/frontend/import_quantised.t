--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 64, "n_layer": 2, "vocab_size": 160, "ssm_cfg": {"layer": "Mamba2"},
 "quantization_config": {"quant_method": "bitsandbytes"}, "quantization": {"group_size": 64, "bits": 4}}
--ERR--
@TMP@/config.json:2:25: error: quantization_config is {quant_method: bitsandbytes}; a model with a quantization_config cannot be compiled
@TMP@/config.json:2:75: error: quantization is {group_size: 64, bits: 4}; a model with a quantization cannot be compiled
--EXIT--
2
