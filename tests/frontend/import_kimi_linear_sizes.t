Kimi Linear: heads that share keys, lists that leave a layer out.
--ARGS--
import @TMP@
--FILE config.json--
{"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "linear_attn_config": {"full_attn_layers": [4], "kda_layers": [1, 2]},
 "model_type": "kimi_linear", "num_attention_heads": 4, "num_hidden_layers": 4, "num_key_value_heads": 2, "vocab_size": 160}
--ERR--
@TMP@/config.json:2:104: error: num_key_value_heads = 2, but num_attention_heads = 4
@TMP@/config.json:1:128: error: len(linear_attn_config.kda_layers) + len(linear_attn_config.full_attn_layers) = 3, but num_hidden_layers = 4
--EXIT--
2
