Faults in a user's block: an unknown op, an unknown name, wrong shapes, each where it is and where it is used.
What only follows from them is not said.
--ARGS--
compile @IN@
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mine}]
blocks:
  - block: mine
    params: {k: 2}
    weights: {w: {shape: [dim, k * dim], init: ones}, v: {shape: [dim], init: ones}}
    ops:
      - u = rmsnormm(h, v) {eps=1e-5}
      - t = u + h
      - s = silu(t) + vv
      - h = h + linear(h, w)
--ERR--
@IN@:9:13: error: unknown op `rmsnormm`; did you mean `rmsnorm`?
@IN@:3:18: note: in this layer, a block mine
@IN@:12:27: error: `linear`: operand 2, `layers.0.w`, is f32[8,16], expected [O,8]
--EXIT--
2
