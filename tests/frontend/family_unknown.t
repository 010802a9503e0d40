--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
family: mamba-2
--ERR--
@IN@:4:9: error: unknown family 'mamba-2'; the nearest is mamba2
--EXIT--
2
