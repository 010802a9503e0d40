--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba2", "vocab_size": 160, "hidden_size": 64, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 16,
 "state_size": 32}
--FILE tokenizer_config.json--
{"eos_token": "<|far|>"}
--FILE special_tokens_map.json--
["eos_token"]
--FILE tokenizer.json--
{"added_tokens": [{"id": 200, "content": "<|far|>"}]}
--CONTAINS--
vocab: 160
--LACKS--
eos
--ERR--
@TMP@/tokenizer_config.json:1:15: note: eos_token is "<|far|>", id 200 of tokenizer.json, but the ids end at 159; it is not used
@TMP@/special_tokens_map.json:1:1: note: the file is an array, expected an object; it is not used
