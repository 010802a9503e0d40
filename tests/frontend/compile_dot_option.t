compile.dot: what --set says goes over the description.
--ARGS--
compile @IN@ --stop-after partition --cpu sapphirerapids --set compile.dot=f32
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dot: bf16x3}
--LACKS--
dot=bf16x3
unit=matrix
