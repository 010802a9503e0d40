memplan: a graph whose output is not picked rows cannot be compiled.
--ARGS--
compile @IN@ --stop-after memplan --cpu x86-64-v4
--IN--
include activation.ir
--ERR--
output `y` has no rows R: a compiled graph gives the rows that were picked, so `take` has to come before its outputs
--EXIT--
2
