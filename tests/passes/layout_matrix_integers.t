layout: bytes for the matrix unit, and their scales, are packed in panels of 32 columns.
--ARGS--
compile @IN@ --stop-after layout --dtype int8 --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[70,64]
--CONTAINS--
  t6: u8[3,16,32,4] = pack(t3) {panel=32}
  t7: f32[3,1,32] = pack(t4) {panel=32}
