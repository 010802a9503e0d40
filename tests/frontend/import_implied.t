head_dim follows from the other sizes, if it can.
--ARGS--
import @TMP@
--FILE config.json--
{
  "model_type": "mamba2", "vocab_size": 160, "num_hidden_layers": 3, "state_size": 32,
  "num_heads": 7,
  "hidden_size": 64
}
--ERR--
@TMP@/config.json:4:18: error: expand * hidden_size = 128, which is not a multiple of num_heads = 7
@TMP@/config.json:3:16: note: num_heads is given here
--EXIT--
2
