A key of every layer: those inside groups, too; blocks that have no such parameter pass it over.
--ARGS--
compile @IN@ --emit graph --set layers.*.state=16 --set layers.*.repeat=1
--IN yaml--
name: hybrid
vocab: 16
dim: 8
blocks:
  - block: double
    weights: {norm.weight: {shape: [dim], init: ones}}
    ops: [h = h + h * norm.weight]
weights: {init: reference}
layers:
  - {block: mamba2, repeat: 3, state: 4, head_dim: 8}
  - repeat: 2
    layers:
      - {block: double, repeat: 2}
      - {block: mamba2, state: 8, head_dim: 4}
--CONTAINS--
state layers.0.ssm: f32[2,16,8]
state layers.2.ssm: f32[4,16,4]
--LACKS--
layers.3.ssm
