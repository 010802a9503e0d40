Experts that a token cannot go to, and groups that they do not fit.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers:
  - {block: moe, experts: 4, top: 5, inner: 8}
  - {block: moe, experts: 4, top: 0, inner: 8}
  - {block: moe, experts: 0, top: 1, inner: 8}
  - {block: moe, experts: 6, top: 1, inner: 8, groups: 4}
  - {block: moe, experts: 6, top: 1, inner: 8, groups: 2, kept: 3}
  - {block: moe, experts: 65537, top: 1, inner: 8}
  - {block: moe, experts: 4, top: 1, inner: 8, score: tanh}
--ERR--
@IN@:4:35: error: top = 5, which must be at most experts = 4
@IN@:5:35: error: top is '0'; expected a whole number from 1 to 256
@IN@:6:27: error: experts is '0'; expected a whole number from 1 to 65536
@IN@:7:27: error: experts = 6, which is not a multiple of groups = 4
@IN@:8:65: error: kept = 3, which must be at most groups = 2
@IN@:9:27: error: experts is '65537'; expected a whole number from 1 to 65536
@IN@:10:55: error: score is 'tanh'; expected softmax or sigmoid
--EXIT--
2
