compile.device: projections of integers are for CPUs.
--ARGS--
compile @IN@ --device sm_80
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile:
  dtype: int4
--ERR--
ssmc: compile.dtype=int4 is for CPUs: on compile.device=sm_80 projections multiply f32 or bf16
--EXIT--
2
