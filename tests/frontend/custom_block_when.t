A statement may be under a condition; one that is not true leaves no trace.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mine, twice: true}, {block: mine}]
weights: {init: reference}
blocks:
  - block: mine
    params: {twice: false}
    weights: {v: {shape: [dim], init: ones}}
    ops:
      - u = rmsnorm(h, v) {eps=1e-5}
      - {when: twice, op: "u = gelu(u)"}
      - {when: not twice, op: "u = silu(u)"}
      - h = h + u
--COUNT--
gelu 1  silu 1
