compile.dot: projections of f32 are multiplied as bf16 triples, the SSD in f32.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dot: bf16x3, form: chunked, chunk: 16}
--CONTAINS--
dot=bf16x3
dot=f32
unit=matrix
