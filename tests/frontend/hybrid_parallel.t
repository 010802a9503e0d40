The key attention: a layer with attention beside a recurrence is neither.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 32
attention: 1
layers:
  - repeat: 2
    parallel:
      - {block: mamba2, head_dim: 32}
      - {block: attention, heads: 2}
--ERR--
@IN@:3:12: error: attention = 1, but a layer has attention and a recurrence, or two of them, side by side: it is not one or the other
@IN@:7:17: note: this layer
--EXIT--
2
