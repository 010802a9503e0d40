layout: half bytes for the matrix unit are packed in panels of 32 columns, and so are scales and minima of their groups.
--ARGS--
compile @IN@ --stop-after layout --dtype int4 --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[40,64]
--CONTAINS--
  t7: u4x2[2,8,32,4] = pack(t3) {group=32, panel=32}
  t8: bf16[2,1,32,2] = pack(t4) {panel=32}
  t9: bf16[2,1,32,2] = pack(t5) {panel=32}
