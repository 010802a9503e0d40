Options override keys; a value is YAML; keys that are not there yet are made.
--ARGS--
compile @IN@ --emit graph --set layers.0.state=16 --set "weights={init: reference, seed: 9}" --set compile.block=8
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, state: 4, head_dim: 8}]
--CONTAINS--
seed 9
block 8
state layers.0.ssm: f32[2,16,8]
