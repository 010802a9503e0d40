Sizes that no machine holds are refused, not wrapped.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 65536
layers: [{block: mine}]
blocks:
  - block: mine
    sizes: {a: dim * dim * dim * dim * dim, b: dim * dim}
    weights: {w: {shape: [dim, 16777216], init: ones}}
    ops: ["h = h + h"]
  - block: other
    weights: {w: {shape: [dim, 16777216], init: ones}, v: {shape: [dim, 16777217], init: ones}}
    ops: ["h = h + h"]
--ERR--
@IN@:2:6: error: dim * dim * dim * dim is too large for a size
@IN@:2:6: error: b is dim * dim = 4294967296; expected a whole number from 1 to 2147483647
--EXIT--
2
