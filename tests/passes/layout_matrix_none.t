layout: compile.matrix=none packs as for a CPU without the unit.
--ARGS--
compile @IN@ --stop-after layout --dtype bf16 --cpu sapphirerapids --set compile.matrix=none
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  t3: bf16[2,32,64,2] = pack(t1) {panel=64}
