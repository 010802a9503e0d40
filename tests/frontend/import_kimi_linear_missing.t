Kimi Linear: nothing says what layers are.
--ARGS--
import @TMP@
--FILE config.json--
{"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "model_type": "kimi_linear", "num_attention_heads": 4,
 "num_hidden_layers": 4, "vocab_size": 160}
--ERR--
@TMP@/config.json:1:1: error: the key 'linear_attn_config.kda_layers' is missing
@TMP@/config.json:1:1: error: the key 'linear_attn_config.full_attn_layers' is missing
--EXIT--
2
