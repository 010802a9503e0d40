partition: a scan without heads is divided by channels.
--ARGS--
compile @IN@ --stop-after partition --cpu x86-64-v4
--IN--
include scan_gate.ir
--CONTAINS--
  kernel selective_scan {part=cols, pieces=4} {
