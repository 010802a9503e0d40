The key attention: a model that mixes no tokens.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 32
attention: 0
layers: {block: mlp, inner: 8}
--ERR--
@IN@:3:12: error: attention = 0, but no layer has attention or a recurrence that it could take the place of
--EXIT--
2
