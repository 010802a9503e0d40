Where two sizes disagree both places are shown, and the line of the block that wants them equal.
--ARGS--
compile @IN@ --set layers.1.heads=7
--IN yaml--
vocab: 16
dim: 64
layers:
  - {block: mamba2, head_dim: 24}
  - {block: mamba2, head_dim: 16}
--ERR--
@IN@:4:31: error: inner = 128, which is not a multiple of head_dim = 24
@IN@:2:6: note: dim is given here
note: this is what asks for it
--set:1:16: error: heads * head_dim = 112, but inner = 128
layers.1.heads=7
@IN@:5:31: note: head_dim is given here
- heads * head_dim == inner
--EXIT--
2
