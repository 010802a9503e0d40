Of params.json: experts, which are not read from it, and keys that are missing.
--ARGS--
import @TMP@
--FILE params.json--
{"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "norm_eps": 1e-05, "vocab_size": 32000,
 "moe": {"num_experts_per_tok": 2, "num_experts": 8}}
--ERR--
@TMP@/params.json:1:1: error: the key 'hidden_dim' is missing
@TMP@/params.json:2:9: error: moe is
--EXIT--
2
