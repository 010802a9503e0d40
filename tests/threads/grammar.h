/* tests/threads/grammar.h -- grammars under threads. */
#ifndef SSMC_TESTS_THREADS_GRAMMAR_H
#define SSMC_TESTS_THREADS_GRAMMAR_H

void threads_grammar(void); /* dies of what is not as it must be */

#endif
