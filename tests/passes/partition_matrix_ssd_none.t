partition: compile.matrix=none leaves the products of chunks to vectors.
--ARGS--
compile @IN@ --stop-after partition --chunk 8 --dtype bf16 --set compile.matrix=none --cpu sapphirerapids
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--CONTAINS--
kernel ssd {part=heads, pieces=4} {
