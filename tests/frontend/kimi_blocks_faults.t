What the sizes of the blocks kda and mla must be.
--ARGS--
compile @IN@
--IN yaml--
name: small
vocab: 16
dim: 8
layers:
  - {block: kda, heads: 0, head_dim: 4}
  - {block: kda, heads: 2, conv: 1}
  - {block: mla, heads: 2, own: 3, shared: 0, rank: 5}
  - {block: mla, heads: 2, own: 3, shared: 2}
  - {block: mla, heads: 2, own: 3, shared: 2, rank: 5, value_dim: 5000}
weights: {init: reference, seed: 7}
--ERR--
@IN@:5:25: error: heads is '0'; expected a whole number from 1 to 65536 (heads H)
@IN@:6:34: error: conv is '1'; expected a whole number from 2 to 64 (width K of the causal convolution)
@IN@:7:44: error: shared is '0'; expected a whole number from 1 to 4096 (further channels of a key, which all heads have alike)
@IN@:8:13: error: block mla needs 'rank': a whole number from 1 to 65536
@IN@:9:67: error: value_dim is '5000'; expected a whole number from 1 to 4096 (channels of a value)
--EXIT--
2
