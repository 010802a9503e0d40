/* passes/cost.h -- predicted time of an SSD in any form, and of a prefill. Work is counted as the
 * emitters do it (tiles, padding, passes of a block), and multiplied by constants that were
 * measured (ssmc tune). The same constants give the same predictions and the same choices. */
#ifndef SSMC_PASSES_COST_H
#define SSMC_PASSES_COST_H

#include "ir/ir.h"

/* What passes ask about the machine that will run the code (filled from codegen's target). */
typedef struct {
    const char *cpu;
    int vector_bytes, vector_registers;
    bool bf16_dot;
    int64_t l1_bytes, l2_bytes;
    bool fma;
} PassMachine;

typedef enum { FORM_AUTO, FORM_RECURRENT, FORM_CHUNKED, FORM_QUADRATIC, FORMS } Form;
extern const char *const form_name[FORMS];
bool form_by_name(const char *name, Form *out);

typedef enum {
#define COST_KIND(id, doc) COST_##id,
#include "passes/cost.def"
    COST_KINDS
} CostKind;

typedef enum {
#define COST_TERM(id, unit, doc) COST_##id,
#include "passes/cost.def"
    COST_TERMS
} CostTerm;

typedef enum {
#define COST_STEP(id, unit, doc) COST_##id,
#include "passes/cost.def"
    COST_STEPS
} CostStep;

/* Nanoseconds a unit. */
typedef struct {
    double term[COST_KINDS][COST_TERMS];
    double step[COST_STEPS];
    const char *source; /* where they were measured */
} CostTable;

/* The table shipped for a machine: its CPU's own, or that of CPUs with such vectors. */
CostTable cost_shipped(const PassMachine *machine);

/* The names of the .def; spelled as text does. */
const char *cost_kind_name(CostKind kind);
const char *cost_term_name(CostTerm term);

enum { COST_VERSION = 2 }; /* of the constants: which there are, and what they multiply */

/* Constants as text, and back. False: *why says what is wrong with the text, which may be anything
 * (arena text); *out is untouched then. */
void cost_print(StrBuf *out, const CostTable *table);
void cost_print_row(StrBuf *out, const PassMachine *machine,
                    const CostTable *table); /* costs.def */
bool cost_parse(Arena *arena, const char *text, CostTable *out, const char **why);

/* An SSD as it would be run. */
typedef struct {
    int64_t heads, head_dim, state, groups; /* H, P, N, G */
    Form form;                              /* not auto */
    int64_t chunk;                          /* Q of chunks; quadratic: any */
    bool bf16;                              /* products of chunks multiply bf16 */
    int64_t block;                          /* most tokens of a pass */
    int threads;
} CostSsd;

/* Seconds a token that one took. */
typedef struct {
    CostSsd ssd;
    double seconds;
} CostMeasured;
/* Equal in everything that decides what code runs. */
bool cost_same(const CostSsd *a, const CostSsd *b);

CostKind cost_kind(const PassMachine *machine, const CostSsd *ssd);
/* Work of one prompt of `tokens` tokens on the thread that has most of it. False: chunks are longer
 * than anybody runs. */
bool cost_count(const PassMachine *machine, const CostSsd *ssd, int64_t tokens,
                double count[COST_TERMS]);
/* Seconds of the SSD kernel over a prompt; INFINITY where work is not counted. */
double cost_ssd(const CostTable *table, const PassMachine *machine, const CostSsd *ssd,
                int64_t tokens);

/* A projection of many tokens: seconds of one of them, weights in caches. */
typedef struct {
    Dtype weight; /* as it is multiplied */
    bool blas;
    int64_t inputs, columns; /* columns padded to panels */
    int threads;
} CostLinear;
double cost_linear(const CostTable *table, const PassMachine *machine, const CostLinear *linear);

/* ---- whole graphs, stage KERNEL ------------------------------------------------------------ */

int64_t cost_block(const Graph *g); /* most tokens of a pass */
/* The SSD that a kernel is; false: it is none. */
bool cost_kernel_ssd(const Graph *g, const Kernel *kernel, int threads, CostSsd *out);
/* Work of any other kernel over `rows` rows, on the thread that has most of it. */
void cost_kernel_count(const PassMachine *machine, const Graph *g, const Kernel *kernel,
                       int64_t rows, int threads, double count[COST_STEPS]);
/* Seconds of one kernel; of one prompt through all of them, logits of its last token included. */
double cost_kernel(const CostTable *table, const PassMachine *machine, const Graph *g,
                   const Kernel *kernel, int64_t rows, int threads);
double cost_prefill(const CostTable *table, const PassMachine *machine, const Graph *prefill,
                    int threads, int64_t tokens);

/* Lengths that are considered where a chunk's is left open, up to `block`; 0 ends the list. */
extern const int64_t cost_chunks[];

#endif
