--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
eos: [3, x]
layers: [{block: mamba2, head_dim: 8}]
--ERR--
@IN@:3:6: error: eos is [3, x]; expected a token id from 0 to 4194303, a list of them, or none (token ids that end a text)
--EXIT--
2
