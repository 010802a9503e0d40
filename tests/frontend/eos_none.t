--ARGS--
compile @IN@ --emit graph --set eos=none
--IN yaml--
vocab: 16
dim: 8
eos: 3
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
--LACKS--
  eos
