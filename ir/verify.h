/* ir/verify.h -- private to ir/: what the verifier's files share. */
#ifndef SSMC_IR_VERIFY_H
#define SSMC_IR_VERIFY_H

#include "ir/internal.h"

typedef struct {
    const Graph *g;
    Diag *diag;
    Arena *scratch;
    Value **by_id; /* NULL: an id without a value */
} Verify;

/* Reports a fault, with the text of the node (may be NULL) it is in. */
void verify_fault(Verify *c, const Node *node, SrcLoc loc, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* ir/verify_kernel.c: how nodes are grouped, and where values live. */
void verify_kernels(Verify *c);
void verify_places(Verify *c);

#endif
