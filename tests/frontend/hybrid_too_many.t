The key attention: more than there are mixers.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 32
attention: 3
layers:
  - {block: mamba2, repeat: 2}
  - {block: mlp, inner: 8}
--ERR--
@IN@:3:12: error: attention = 3, but the model has 2 layers of attention or a recurrence
--EXIT--
2
