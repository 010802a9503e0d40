/* passes/cost.h -- predicted time of an SSD in any form, and of a prefill. Work is counted as the
 * emitters do it (tiles, padding, passes of a block), and multiplied by constants that were
 * measured (machine/cost.h). Equal constants give equal predictions and choices. */
#ifndef SSMC_PASSES_COST_H
#define SSMC_PASSES_COST_H

#include "machine/machine.h"

typedef enum { FORM_AUTO, FORM_RECURRENT, FORM_CHUNKED, FORM_QUADRATIC, FORMS } Form;
extern const char *const form_name[FORMS];
bool form_by_name(const char *name, Form *out);

/* An SSD, or the delta rule, as it would be run. */
typedef struct {
    int64_t heads, head_dim, state, groups; /* H, P, N, G */
    Form form;                              /* not auto */
    int64_t chunk;                          /* Q of chunks; quadratic: any */
    bool bf16;                              /* products of chunks multiply bf16 */
    bool solves;                            /* what it writes is solved for (op flag V) */
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

CostKind cost_kind(const Machine *machine, const CostSsd *ssd);
/* Work of one prompt of `tokens` tokens on the busiest thread. False: chunks are longer
 * than compile.block may be. */
bool cost_count(const Machine *machine, const CostSsd *ssd, int64_t tokens,
                double count[COST_TERMS]);
/* Seconds of the SSD kernel over a prompt; INFINITY where work is not counted. */
double cost_ssd(const Machine *machine, const CostSsd *ssd, int64_t tokens);

/* A projection of many tokens: seconds of one of them, weights in caches. */
typedef struct {
    Dtype weight;            /* as it is packed */
    bool blas, matrix;       /* by OpenBLAS; on the matrix unit */
    int64_t inputs, columns; /* columns padded to panels */
    int64_t group;           /* inputs that share scales; 0: all */
    bool triples;            /* bf16 that are parts of f32: dot=bf16x3 */
    int threads;
} CostLinear;
double cost_linear(const Machine *machine, const CostLinear *linear);

/* ---- whole graphs, stage KERNEL ------------------------------------------------------------ */

int64_t cost_block(const Graph *g); /* most tokens of a pass */
/* Tokens of a pass where a description leaves them open: the format's (ir/formats.def), or, on a
 * matrix unit, by the shipped constants, so many that products take twice as long as reading the
 * weights from memory: these are asked for meanwhile (codegen/emit/emit_unit.c). Where rows have
 * experts, each of these has few of a pass's tokens. graph: NULL: without experts. */
int64_t cost_pass_tokens(const Machine *machine, Format format, const Graph *graph);
/* The SSD that a kernel is; false: it is none. */
bool cost_kernel_ssd(const Graph *g, const Kernel *kernel, int threads, CostSsd *out);
/* What the products of a kernel multiply: f32, bf16, or u8 for every type of integers. */
Dtype cost_kernel_dtype(const Kernel *kernel);
/* Work of any other kernel over `rows` rows of a sequence that has had `past`, on the busiest
 * thread. */
void cost_kernel_count(const Machine *machine, const Graph *g, const Kernel *kernel, int64_t past,
                       int64_t rows, int threads, double count[COST_STEPS]);
/* Seconds of one kernel; of one prompt through all of them, logits of its last token included. */
double cost_kernel(const Machine *machine, const Graph *g, const Kernel *kernel, int64_t past,
                   int64_t rows, int threads);
double cost_prefill(const Machine *machine, const Graph *prefill, int threads, int64_t tokens);

/* Lengths that are considered where a chunk's is left open, up to `block`; 0 ends the list. */
extern const int64_t cost_chunks[];

#endif
