--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
eos: [3, 99]
layers: [{block: mamba2, head_dim: 8}]
--ERR--
@IN@:3:6: error: eos = 99, but the ids end at vocab - 1 = 15
@IN@:1:8: note: vocab is given here
--EXIT--
2
