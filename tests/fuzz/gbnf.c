/* tests/fuzz/gbnf.c -- any text as a grammar: refused with a message, or its texts can be drawn,
 * and the masks are right. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/grammar_walk.h"

FUZZ_TARGET(gbnf)
{
    char *why = NULL;
    Grammar *grammar = grammar_from_gbnf((const char *)data, size, &why);
    if (!grammar && (!why || !why[0]))
        die("refused without a word");
    StrBuf text = {0};
    for (uint64_t seed = 1; grammar && seed <= 3; seed++)
        grammar_walk(grammar, seed * UINT64_C(0x9E3779B97F4A7C15), &text);
    sb_free(&text);
    free(why);
    grammar_free(grammar);
    return 0;
}
