What is wrong in the files beside config.json is noted and left out; the model is good without it.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba2", "vocab_size": 160, "hidden_size": 64, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 16,
 "state_size": 32, "eos_token_id": 2}
--FILE generation_config.json--
{"eos_token_id": [3, 160, "4"]}
--FILE tokenizer_config.json--
{"eos_token": "<|gone|>"}
--FILE special_tokens_map.json--
{"eos_token": "<|far|>",}
--FILE tokenizer.json--
{"added_tokens": [{"id": 200, "content": "<|far|>"}]}
--CONTAINS--
eos: [2, 3]
--ERR--
@TMP@/generation_config.json:1:22: note: eos_token_id[1] is 160, expected 0 to 159; it is not used
@TMP@/generation_config.json:1:27: note: eos_token_id[2] is "4", expected an integer; it is not used
@TMP@/tokenizer_config.json:1:15: note: eos_token is "<|gone|>", which is no token of tokenizer.json; it is not used
@TMP@/special_tokens_map.json:1:25: note: this is not JSON: unexpected character; it is not used
