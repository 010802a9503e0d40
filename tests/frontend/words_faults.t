Faults of the same.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: a}, {block: b}, {block: c}, {block: d}, {block: e}, {block: f}]
blocks:
  - {block: a, params: {n: [1, 2]}, checks: ["n[2] == 1"], ops: [h = h + h]}
  - {block: b, params: {n: [1, 2]}, checks: [n is 2], ops: [h = h + h]}
  - {block: c, params: {n: 3}, checks: [3 in n], ops: [h = h + h]}
  - {block: d, params: {n: 3}, checks: [dim in n], ops: [h = h + h]}
  - {block: e, params: {n: [3]}, checks: ["index(4, n) == 1"], ops: [h = h + h]}
  - {block: f, params: {n: 3}, checks: [sqrt(n - 4) == 1, 7 % (n - 3) == 0], ops: [h = h + h]}
--ERR--
error: entry 2 is asked for, but there are 2, from 0 on
error: this is no word
error: the expression should end here
error: this is no list
error: index wants a number and a list that it is in
error: sqrt wants a number from 0
error: % wants a whole number from 0 and one from 1
--EXIT--
2
