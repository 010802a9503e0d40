/* tests/kernel_run.h -- a graph of stage KERNEL run twice: as machine code, the way the runtime
 * would run it, and by the interpreter. Everything aborts the test when a step that must work
 * fails. */
#ifndef SSMC_TESTS_KERNEL_RUN_H
#define SSMC_TESTS_KERNEL_RUN_H

#include "codegen/codegen.h"
#include "tests/harness.h"

enum { RUN_SLOTS = 40 };

typedef struct KernelRun KernelRun;
/* text: kernels without places (memory is planned here). cpu: as cg_machine takes it; NAME+model:
 * with C functions in the place of a matrix unit, as compile.matrix=model has them; NAME@model: of
 * a GPU, as compile.device=model. */
KernelRun *kernel_run_open(const char *text, const char *cpu);
void kernel_run_close(KernelRun *run);
/* Whether a sweep takes this CPU: its code runs here, and, where tests are not thorough(), it is
 * the machine's own or the one that has least. */
bool cpu_runs_here(const char *cpu);
bool matrix_unit_here(void); /* this process may use one */
/* Values of a weight, instead of the made-up ones: row-major, as they are stored (f32 where the
 * graph says nothing else). Call before the first run. */
float *kernel_run_weight(KernelRun *run, const char *tensor, int64_t *count);

/* The ids of the next run (room for the graph's block or rows, whichever is less), 0 at first. */
int32_t *kernel_run_ids(KernelRun *run);
/* So many tokens of a sequence came before the next run of its code; the interpreter counts its
 * own.
 */
void kernel_run_begin(KernelRun *run, int slot, int64_t before);
const AbiProgram *kernel_run_program(const KernelRun *run);
/* Where an operand's data is. */
void *kernel_run_operand(KernelRun *run, const AbiOperand *operand);
/* What a run has left of a value that has a place, by its name. */
const void *kernel_run_value(KernelRun *run, const char *name);

/* One pass: segment i has len[i] rows of sequence slot[i]. Each step is run in `parts` parts,
 * on a GPU in one. Every row is picked: returns the first output, [rows,width]. */
typedef struct {
    int nseg;
    int64_t len[RUN_SLOTS], slot[RUN_SLOTS];
    int64_t vocab;
    int parts;
} RunCall;
const float *kernel_run_code(KernelRun *run, const RunCall *call, int64_t *count);
/* Runs the pass in the interpreter, each sequence by itself, with states of its own. */
const double *kernel_run_interp(KernelRun *run, const RunCall *call, int64_t *count);
/* Runs both with random ids below call->vocab: the greatest |code - interp| / (1 + |interp|) over
 * the output and the states. NaN where one side alone is NaN. */
double kernel_run_difference(KernelRun *run, const RunCall *call);

/* Runs one sequence of `rows` tokens as one call, and cut into calls of 1 to `most` tokens and into
 * different parts: the bits must be the same. */
void kernel_run_check_pieces(KernelRun *whole, KernelRun *pieces, int rows, int vocab, int most);
/* Runs one sequence of `rows` tokens on both sides: the greatest |code - interp| as a share of the
 * greatest |interp|. For states that both sides round. */
double kernel_run_share_off(KernelRun *run, int rows, int vocab);

/* What `ssmc compile --emit ptx` makes of a graph's text for a device. */
CommandResult kernel_run_ptx(const char *text, const char *device);

#endif
