Heads that do not fit their groups, windows and rotary positions that cannot be.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - {block: attention, heads: 4, groups: 3, head_dim: 2}
  - {block: attention, heads: 4, groups: 0}
  - {block: attention, heads: 3}
  - {block: attention, heads: 4, window: -1}
  - {block: attention, heads: 4, head_dim: 2, rotary: 4}
  - {block: attention, heads: 4, scaling: dynamic}
  - {block: attention, heads: 2, rotary: 2, pairs: neighbours}
  - {block: attention, heads: 2, conv: 4, pairs: neighbours}
--ERR--
@IN@:4:31: error: heads = 4, which is not a multiple of groups = 3
@IN@:5:42: error: groups is '0'; expected a whole number from 1 to 4096
error: dim = 8, which is not a multiple of heads = 3
@IN@:7:42: error: window is '-1'; expected a whole number from 0 to 16777216
error: rotary = 4, which must be at most head_dim = 2
error: scaling is 'dynamic'; expected none, linear, llama3, yarn or longrope
@IN@:10:52: error: rotary = 2, but head_dim = 4
@IN@:11:50: error: conv = 4, but 0
--EXIT--
2
