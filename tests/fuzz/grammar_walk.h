/* tests/fuzz/grammar_walk.h -- a text along a grammar, for fuzz targets. */
#ifndef SSMC_TESTS_FUZZ_GRAMMAR_WALK_H
#define SSMC_TESTS_FUZZ_GRAMMAR_WALK_H

#include "grammar/grammar.h"
#include "ir/util.h"

/* Draws a text of the grammar from a small vocabulary, and dies where mask and take differ. True:
 * it is whole; it is in `text`. */
bool grammar_walk(const Grammar *grammar, uint64_t seed, StrBuf *text);

#endif
