compile.dot: --dtype contradicts it as the key does.
--ARGS--
compile @IN@ --cpu sapphirerapids --dtype bf16
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, head_dim: 8}]
weights: {init: reference}
compile: {dot: bf16x3}
--ERR--
compile.dtype = bf16 contradicts compile.dot = bf16x3, which takes f32
--EXIT--
2
