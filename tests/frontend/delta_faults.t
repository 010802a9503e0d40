What the sizes of the delta rule, and of attention with gates, must be.
--ARGS--
compile @IN@
--IN yaml--
name: small
vocab: 16
dim: 8
layers:
  - {block: delta, state: 4, head_dim: 2, heads: 4, groups: 3}
  - {block: attention, heads: 4, gated: true, pairs: neighbours}
  - {block: attention, heads: 4, gated: true, conv: 4}
  - {block: attention, heads: 4, gated: true, rows_by: head}
  - {block: moe, experts: 4, top: 2, inner: 8, shared_gate: true}
weights: {init: reference, seed: 7}
--ERR--
@IN@:5:50: error: heads = 4, which is not a multiple of groups = 3
@IN@:6:41: error: not gated or pairs is halves does not hold
@IN@:7:41: error: conv = 4, but 0
@IN@:8:41: error: not gated or rows_by is kind does not hold
@IN@:9:61: error: shared = 0, which must not be 0
--EXIT--
2
