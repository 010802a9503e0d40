layout: a weight stored as bf16 is widened before it is taken apart.
--ARGS--
compile @IN@ --stop-after layout --cpu x86-64 --set compile.dot=bf16x3 --set compile.matrix=model
--IN--
include linear.ir K=64 W=bf16[32,64]
--CONTAINS--
  t1: f32[32,64] = cast(w) {to=f32}
  t2: bf16[1,64,32,2] = pack(t1) {dot=bf16x3, panel=32}
