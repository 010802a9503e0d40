The original layout may name its layer; a key of ssm_cfg that is not known is said.
--ARGS--
import @TMP@
--FILE config.json--
{"d_model": 64, "n_layer": 2, "vocab_size": 160, "ssm_cfg": {"layer": "Mamba1", "d_state": 8, "dt_rank": 5, "colour": 3}}
--CONTAINS--
  - {block: mamba1, repeat: 2, state: 8, expand: 2, dt_rank: 5, conv: 4, conv_bias: true, bias: false}
--ERR--
@TMP@/config.json: note: keys that family mamba1, layout original, does not know, and that change nothing here: ssm_cfg.colour
