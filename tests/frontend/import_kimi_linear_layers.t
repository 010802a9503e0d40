Kimi Linear: a layer that no list has, as another is in both.
--ARGS--
import @TMP@
--FILE config.json--
{"hidden_size": 64, "intermediate_size": 96, "kv_lora_rank": 32, "linear_attn_config": {"full_attn_layers": [2], "kda_layers": [1, 2]},
 "model_type": "kimi_linear", "num_attention_heads": 4, "num_hidden_layers": 3, "vocab_size": 160}
--ERR--
@TMP@/config.json:1:109: error: layer 2 is of no kind that family kimi_linear knows
--EXIT--
2
