A checkpoint of no family: what is known, and the beginning of a description with the sizes that were recognised.
--ARGS--
import @TMP@
--FILE config.json--
{"model_type": "opt", "vocab_size": 50272, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
 "ffn_dim": 3072, "rotary": 4}
--ERR--
@TMP@/config.json:1:16: error: model_type is 'opt'; known are
model_type "nemotron_h"
ssm_cfg.layer "Mamba2"
note: a model can be described in YAML (ssmc help keys); what was recognised here
vocab: 50272
dim: 768
  - repeat: 12
      - {block: attention, heads: 12}
      - {block: mlp, inner: 3072}
--EXIT--
2
