layout: for the model of the unit any CPU packs as for the unit: eight vectors of four columns.
--ARGS--
compile @IN@ --stop-after layout --dtype bf16 --cpu x86-64 --set compile.matrix=model
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  t3: bf16[4,32,32,2] = pack(t1) {panel=32}
