quantise: a group of 0, the whole row, is 32 inputs for 4-bit weights.
--ARGS--
compile @IN@ --stop-after quantise --dtype int4 --set compile.group=0 --cpu znver4
--IN--
include linear.ir K=64 W=f32[6,64]
--CONTAINS--
quantise_u4(w) {group=32}
