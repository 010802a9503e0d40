layout: f32 is nothing for the matrix unit: panels of a CPU without one.
--ARGS--
compile @IN@ --stop-after layout --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  t1: f32[2,64,64] = pack(w) {panel=64}
