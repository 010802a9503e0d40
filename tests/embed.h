/* tests/embed.h -- programs that know a compiled model by its header alone, built by the system's
 * compilers: examples/embed/logits.c and others. The header is DIR/model.h, the model's name model.
 */
#ifndef SSMC_TESTS_EMBED_H
#define SSMC_TESTS_EMBED_H

#include "tests/aot.h"

#define EMBED_EXAMPLES SSMC_ROOT "/examples/embed/"

/* ssmc compile MODEL -o DIR/FILE --header DIR/model.h more...; the path, owned by the caller. */
char *embed_compile(const char *model, const char *dir, const char *file, const char *const *more);
/* Builds a source with every warning an error; libraries: what is linked. The program, DIR/NAME;
 * owned by the caller. */
char *embed_build(const char *compiler, const char *source, const char *dir, const char *name,
                  const char *const *libraries);
/* Builds a source against a library in DIR, which the program finds beside itself. */
char *embed_build_with(const char *compiler, const char *source, const char *dir, const char *name,
                       const char *library);

/* What a program like logits.c says of some ids, as text: `count` logits; owned by the caller. */
float *embed_logits(const char *const *program, const char *ids, size_t count);

typedef struct {
    size_t count, others; /* logits, and those whose bits are others than wanted */
    double most;          /* deviation from what is wanted */
} EmbedMatch;
/* Runs a program like logits.c with every row of every ids_K of a file, and compares with the rows
 * of another's logits_K. */
EmbedMatch embed_match(const char *const *program, const char *ids, const char *want);

#endif
