Optional weights are there when their parameter says so, and missing operands are left out.
--ARGS--
compile @IN@ --emit graph
--IN yaml--
vocab: 16
dim: 8
layers: [{block: mamba2, state: 4, head_dim: 8, bias: true, conv_bias: false}]
weights: {init: reference}
--CONTAINS--
graph "in" model {
weight head.weight: f32[16,8]
weight layers.0.mixer.in_proj.bias: f32[42]
weight layers.0.mixer.out_proj.bias: f32[8]
conv1d(xbc, layers.0.mixer.conv1d.weight, _, layers.0.conv)
linear(u, layers.0.mixer.in_proj.weight, layers.0.mixer.in_proj.bias)
--LACKS--
conv1d.bias
