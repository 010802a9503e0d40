Mistral's own description of later models: the default of theta is another, experts are refused.
--ARGS--
import @TMP@
--FILE params.json--
{"dim": 4096, "n_layers": 32, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8, "norm_eps": 1e-05,
 "vocab_size": 32768}
--CONTAINS--
      - {block: attention, heads: 32, groups: 8, head_dim: 128, theta: 1000000, pairs: neighbours}
