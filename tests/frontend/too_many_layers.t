--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - {repeat: 1000, layers: [{block: mamba2, repeat: 1000, head_dim: 8}]}
--ERR--
@IN@:4:5: error: this makes more than 1024 layers
--EXIT--
2
