Keys of config.json that no layout knows are named in one note, nested ones with a dot; null says nothing.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 64, "n_layer": 2, "vocab_size": 160, "ssm_cfg": {"layer": "Mamba2", "foo": 1, "dt_min": 0.001}, "bar": [1],
 "tie_embedings": true, "nothing": null, "attn_cfg": {"rotary": 1}, "rope": {"theta": 1}, "torch_dtype": "float32"}
--CONTAINS--
tie_embeddings: true
--ERR--
@TMP@/config.json: note: keys that family mamba2, layout original, does not know, and that change nothing here: ssm_cfg.foo, bar, tie_embedings (is tie_embeddings meant?), attn_cfg.rotary, rope
