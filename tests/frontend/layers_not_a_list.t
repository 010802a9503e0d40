Layers that are neither a list nor an entry.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: mamba2
--ERR--
@IN@:3:9: error: layers is 'mamba2'; expected a list of the layers in order
--EXIT--
2
