partition: a chunked ssd whose products multiply bf16 goes to the matrix unit of the machine.
--ARGS--
compile @IN@ --stop-after partition --chunk 8 --dtype bf16 --cpu sapphirerapids
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--CONTAINS--
kernel ssd {unit=matrix, part=heads, pieces=4} {
