--ARGS--
compile @IN@
--IN yaml--
name: nothing
--ERR--
@IN@:1:1: error: the key 'vocab' is missing: it must be a whole number from 1 to 4194304
error: the key 'dim' is missing
error: the key 'layers' is missing
--EXIT--
2
