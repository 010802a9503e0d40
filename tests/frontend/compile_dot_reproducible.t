compile.dot: rows are summed apart, so reproducible code may have triples.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dot: bf16x3, reproducible: true}
--CONTAINS--
dot=bf16x3
