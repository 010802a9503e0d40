The key attention: what is no count.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 32
attention: some
layers: {block: mamba2}
--ERR--
@IN@:3:12: error: attention is 'some'; expected a whole number from 0 to 1024
--EXIT--
2
