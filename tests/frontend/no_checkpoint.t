--ARGS--
compile @TMP@
--FILE model.txt--
x
--ERR--
ssmc: @TMP@ has no config.json, so it is no checkpoint directory
--EXIT--
2
