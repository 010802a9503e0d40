--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
vocab: 32
--ERR--
@IN@:3:1: error: the key 'vocab' is given twice
@IN@:1:1: note: it is first given here
--EXIT--
2
