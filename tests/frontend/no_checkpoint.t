--ARGS--
compile @TMP@
--FILE model.txt--
x
--ERR--
@TMP@ is a directory without a config.json that can be read, so it is no checkpoint
--EXIT--
2
