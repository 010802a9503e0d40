--ARGS--
compile @IN@
--IN yaml--
vocab: 16
layers: [{block: mamba2
dim: 8
--ERR--
error: this is not YAML: did not find expected ',' or '}'
--EXIT--
2
