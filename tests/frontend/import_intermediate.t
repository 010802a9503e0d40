A width of the mixer that the heads do not have.
--ARGS--
import @TMP@
--FILE config.json--
{
  "model_type": "mamba2", "vocab_size": 160, "num_hidden_layers": 3, "state_size": 32, "num_heads": 8,
  "hidden_size": 64, "intermediate_size": 96
}
--ERR--
error: intermediate_size = 96, but num_heads * head_dim = 128
--EXIT--
2
