/* serve/grammars.h -- private to serve/: grammars that requests ask for, kept for the next that ask
 * for the same. What a grammar has learnt of the vocabulary is kept with it. */
#ifndef SSMC_SERVE_GRAMMARS_H
#define SSMC_SERVE_GRAMMARS_H

#include "grammar/grammar.h"

typedef struct Grammars Grammars;
typedef struct KeptGrammar KeptGrammar;
Grammars *grammars_open(void);
void grammars_close(Grammars *grammars); /* after all of them were given back */
/* Of what text says, in a way that `make` reads: the one that was made of that before, or made now.
 * NULL: *why (malloc'd). Any thread. */
typedef Grammar *GrammarMake(const void *user, const char *text, size_t len, char **why);
KeptGrammar *grammars_take(Grammars *grammars, GrammarMake *make, const void *user,
                           const char *text, size_t len, char **why);
const Grammar *grammars_of(const KeptGrammar *kept);
void grammars_give_back(Grammars *grammars, KeptGrammar *kept); /* NULL: nothing */

#endif
