The ids that end a text are those of config.json and of the files beside it, each once.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "mamba2", "vocab_size": 160, "hidden_size": 64, "num_hidden_layers": 3, "num_heads": 8, "head_dim": 16,
 "state_size": 32, "eos_token_id": 2}
--FILE generation_config.json--
{"_from_model_config": false, "eos_token_id": [2, 51, -1], "bos_token_id": 1}
--FILE tokenizer_config.json--
{"chat_template": "{{ eos_token }}", "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": false}}
--FILE special_tokens_map.json--
{"eos_token": "the"}
--FILE tokenizer.json--
{"added_tokens": [{"id": 7, "content": "<|x|>"}, {"id": 9, "content": "<|im_end|>"}], "model": {"vocab": {"the": 12}}}
--CONTAINS--
eos: [2, 51, 9, 12]
--ERR--
