States are called by a name, or a list of them.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: two}]
blocks:
  - {block: two, states: {conv1d: [], ssd: {a: b}}, ops: [h = h + h]}
--ERR--
@IN@:5:35: error: a state is []; expected OP: NAME, or OP: [NAME, NAME]
@IN@:5:44: error: a state is {a: b}; expected OP: NAME, or OP: [NAME, NAME]
--EXIT--
2
