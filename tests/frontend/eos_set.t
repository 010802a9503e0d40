The ids are in the graph's text, each once, which makes it end its texts, too.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
eos: [3, 0, 3]
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
--CONTAINS--
  eos [3, 0]
