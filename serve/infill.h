/* serve/infill.h -- private to serve/: prompts of texts whose middle is wanted. */
#ifndef SSMC_SERVE_INFILL_H
#define SSMC_SERVE_INFILL_H

#include "serve/answer.h"

typedef struct {
    const char *text; /* borrows */
    size_t len;
} InfillText;

typedef struct {
    InfillText prefix, suffix;
    InfillText line;           /* goes on from the prefix: the line that is being typed */
    struct json_object *extra; /* [{filename, text}] that stand before; borrows; NULL: none */
} Infill;

/* The prompt in the model's own form, no longer than there is room for beside `most` ids of an
 * answer. False: the exchange has a fault, such as that the model has no such form. */
bool infill_prompt(Exchange *ex, const Infill *infill, int64_t most, Prompt *out);
/* Whether the model has one; false: the exchange has a fault. */
bool infill_known(Exchange *ex);
/* Where a prompt has a prefix to go on from, whoever put its ids together: says so, and marks where
 * the next prompt will differ, as the text is being typed. */
void infill_mark(const Server *server, Prompt *prompt);

#endif
