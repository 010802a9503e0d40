partition: a chunked ssd whose products multiply f32 does not go to the matrix unit.
--ARGS--
compile @IN@ --stop-after partition --chunk 8 --dtype f32 --cpu sapphirerapids
--IN--
include ssd.ir D=8 W=34 H=2 N=16 P=4
--CONTAINS--
kernel ssd {part=heads, pieces=4} {
