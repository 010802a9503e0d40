Where config.json says nothing, the tokenizer's own setting is the end.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 64, "n_layer": 3, "vocab_size": 160, "ssm_cfg": {"layer": "Mamba2"}}
--FILE generation_config.json--
{"eos_token_id": null}
--FILE tokenizer_config.json--
{"eos_token": "<|endoftext|>"}
--FILE tokenizer.json--
{"added_tokens": [{"id": 0, "content": "<|endoftext|>"}], "model": {"vocab": {"<|endoftext|>": 0}}}
--CONTAINS--
eos: 0
--ERR--
