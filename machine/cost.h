/* machine/cost.h -- constants of predicted times: nanoseconds of each kind of work that emitted
 * code does, on one thread of a CPU. `ssmc tune` measures them; passes/cost.h predicts by them. */
#ifndef SSMC_MACHINE_COST_H
#define SSMC_MACHINE_COST_H

#include "ir/ir.h"

typedef enum {
#define COST_KIND(id, doc) COST_##id,
#include "machine/cost.def"
    COST_KINDS
} CostKind;

typedef enum {
#define COST_TERM(id, unit, doc) COST_##id,
#include "machine/cost.def"
    COST_TERMS
} CostTerm;

typedef enum {
#define COST_STEP(id, unit, doc) COST_##id,
#include "machine/cost.def"
    COST_STEPS
} CostStep;

/* Those of a matrix unit are the last. */
_Static_assert(COST_attend + 1 == COST_matrix_bf16, "the order of COST_STEP()s");

/* Nanoseconds a unit. */
typedef struct {
    double term[COST_KINDS][COST_TERMS];
    double step[COST_STEPS];
    const char *source; /* where they were measured */
} CostTable;

/* The names of the .def; spelled as text does. */
const char *cost_kind_name(CostKind kind);
const char *cost_term_name(CostTerm term);

enum { COST_VERSION = 5 }; /* of the constants: which there are, and what they multiply */

/* Constants as text, and back. False: *why says what is wrong with the text, which may be anything
 * (arena text); *out is untouched then. */
void costs_print(StrBuf *out, const CostTable *table);
bool costs_parse(Arena *arena, const char *text, CostTable *out, const char **why);

#endif
