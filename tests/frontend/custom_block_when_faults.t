Conditions that are none, and statements in them that are none.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mine}]
blocks:
  - block: mine
    weights: {v: {shape: [dim], init: ones}}
    ops:
      - [u, v]
      - {when: dim, op: h = h + h}
      - {when: dim, do: h = h + h}
--ERR--
@IN@:8:9: error: a statement is [u, v]; expected a text, or {when: EXPRESSION, op: STATEMENT}
--EXIT--
2
