memplan: a program whose outputs have no picked rows gives no logits, so that no session could run it.
--ARGS--
compile @IN@ --emit llvm --cpu x86-64-v4
--IN--
include activation.ir
--ERR--
gives no logits: none of its outputs has the rows R that were picked, so `take` has to come before one
--EXIT--
2
