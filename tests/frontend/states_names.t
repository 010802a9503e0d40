An op that a block has several times needs a name for the state of each.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: two}, {block: none}]
blocks:
  - block: two
    weights: {c: {shape: [dim, 1, 4], init: conv}}
    states: {conv1d: [a, b]}
    ops: ["h = conv1d(conv1d(conv1d(h, c), c), c)"]
  - block: none
    weights: {c: {shape: [dim, 1, 4], init: conv}}
    ops: ["h = conv1d(conv1d(h, c), c)"]
--ERR--
error: this is `conv1d` number 3 of the block: `states: {conv1d: [NAME, NAME]}` names the state of each
note: names are given here
error: this is `conv1d` number 2 of the block
--EXIT--
2
