A user's block: sizes, a default that is an expression, a list and a chunk parameter, a built-in name replaced.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mine, chunk: all}, {block: mamba2, k: 3}]
weights: {init: reference}
blocks:
  - block: mine
    params:
      state: 4
      width: {type: int, default: 2 * dim}
      limit: [0, 5]
      chunk: {type: chunk, default: auto}
      eps: {type: num, default: eps}
    sizes: {heads: width / 4}
    weights:
      w: {shape: [width + 2 * state + heads, dim], init: uniform_fan_in}
      a: {shape: [heads], init: a_log}
      o: {shape: [dim, width], init: out_proj}
    ops:
      - x, B, C, dt = split(linear(rmsnorm(h) {eps}, w)) {sizes=[width, state, state, heads]}
      - y = ssd(x, clamp(softplus(dt)) {range=limit}, a, B, C) {heads, head_dim=4, groups=1, state, chunk}
      - h = h + linear(y, o) * 0.5
  - block: mamba2
    params: {k: 2}
    weights: {w: {shape: [dim, dim], init: ones}}
    ops: ["h = h + linear(h, w) * 2"]
--CONTAINS--
weight layers.0.w: f32[28,8]
weight layers.1.w: f32[8,8]
) {range=[0, 5]}
{groups=1, heads=4, head_dim=4, state=4, chunk=all}
