/* serve/grammars.h -- private to serve/: grammars that requests ask for, kept for the next that ask
 * for the same. What a grammar has learnt of the vocabulary is kept with it. */
#ifndef SSMC_SERVE_GRAMMARS_H
#define SSMC_SERVE_GRAMMARS_H

#include "grammar/grammar.h"

typedef struct Grammars Grammars;
typedef struct KeptGrammar KeptGrammar;
Grammars *grammars_open(void);
void grammars_close(Grammars *grammars); /* after all of them were given back */
/* Of GBNF, or of a schema's text. NULL: *why (malloc'd). Any thread. */
KeptGrammar *grammars_take(Grammars *grammars, bool schema, const char *text, size_t len,
                           struct json_object *json, char **why);
const Grammar *grammars_of(const KeptGrammar *kept);
void grammars_give_back(Grammars *grammars, KeptGrammar *kept); /* NULL: nothing */

#endif
