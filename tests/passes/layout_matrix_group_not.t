layout: groups that no step of the matrix unit ends with are left to the vectors, with panels of theirs.
--ARGS--
compile @IN@ --stop-after layout --dtype int8 --set compile.group=8 --cpu sapphirerapids
--IN--
include linear.ir K=64 W=f32[128,64]
--CONTAINS--
  t6: u8[2,16,64,4] = pack(t3) {group=8, panel=64}
