Kimi Linear: what a config.json says that cannot be.
--ARGS--
import @TMP@
--FILE config.json--
{"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "linear_attn_config": {"full_attn_layers": [4], "kda_layers": [1, 2]},
 "mla_use_nope": false, "model_type": "kimi_linear", "moe_layer_freq": 2, "moe_router_activation_func": "softmax",
 "num_attention_heads": 4, "num_hidden_layers": 4, "num_key_value_heads": 2, "vocab_size": 160}
--ERR--
@TMP@/config.json:2:18: error: mla_use_nope is 'false'; only 'true' can be compiled
@TMP@/config.json:2:72: error: moe_layer_freq is '2'; only '1' can be compiled
@TMP@/config.json:2:105: error: moe_router_activation_func is 'softmax'; only 'sigmoid' can be compiled
--EXIT--
2
