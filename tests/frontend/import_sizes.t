Sizes of a config.json that disagree: every place.
--ARGS--
import @TMP@
--FILE config.json--
{
  "model_type": "mamba2", "vocab_size": 160, "num_hidden_layers": 3, "state_size": 32,
  "num_heads": 7,
  "head_dim": 16,
  "hidden_size": 64
}
--ERR--
@TMP@/config.json:3:16: error: num_heads * head_dim = 112, but expand * hidden_size = 128
@TMP@/config.json:4:15: note: head_dim is given here
@TMP@/config.json:5:18: note: hidden_size is given here
--EXIT--
2
