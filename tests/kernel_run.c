/* tests/kernel_run.c -- kernels as machine code and by the interpreter, side by side. What kernels
 * may touch ends at pages without access, so that reading or writing too far is a crash. */
#include "tests/kernel_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "passes/pass.h"
#include "tests/step_run.h"

typedef struct {
    const Value *value;
    void *data;
    int64_t count;
} Weight;

typedef struct {
    void *at;
    size_t size;
} Mapping;

struct KernelRun {
    Arena *arena;
    Mapping *mappings;
    int nmappings, cap_mappings;
    Diag *diag;
    Graph *g;
    CgJit *jit;
    const AbiProgram *program;
    Weight *weights;
    char *slab, *params, *states, *kept, *output, *scratch;
    int64_t kept_stride;         /* bytes of a sequence's growing states */
    int32_t *input[INPUT_COUNT]; /* by InputId */
    int32_t *ids, *pick;
    int64_t before[RUN_SLOTS]; /* tokens of each sequence so far */
    int64_t most_rows;         /* of a pass */
    int64_t vocab, scratch_bytes;
    bool loaded;
    bool launches; /* steps are launches of a GPU's model, which have no parts */
    uint64_t seed;
    Interp *interp[RUN_SLOTS]; /* made at first use */
    double *expected;
};

enum { MOST_PARTS = 8, ROOM = 1024 };

static void
no_faults(KernelRun *run)
{
    StrBuf sb = {0};
    diag_print(run->diag, &sb);
    cr_assert_eq(diag_errors(run->diag), 0, "%s", sb_text(&sb));
    sb_free(&sb);
}

/* Memory that ends where the next byte may not be touched. */
static void *
buffer(KernelRun *run, int64_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t size = (size_t)round_up(bytes, (int64_t)page) + page;
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(at, MAP_FAILED);
    cr_assert_eq(mprotect(at + size - page, page, PROT_NONE), 0);
    const Mapping mapping = {at, size};
    VEC_PUSH(run->arena, run->mappings, run->nmappings, run->cap_mappings, mapping);
    return at + size - page - bytes;
}

/* Such a buffer, aligned as the runtime aligns what kernels write. */
static void *
aligned_buffer(KernelRun *run, int64_t bytes)
{
    return buffer(run, round_up(bytes, 64));
}

/* ---- made-up numbers ------------------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void
fill_element(void *data, int64_t i, Dtype dtype, uint64_t *seed)
{
    const uint64_t r = next_random(seed);
    const float x = (float)((double)(r >> 11) * 0x1p-53 * 4 - 2);
    if (dtype == DTYPE_f32) {
        ((float *)data)[i] = x;
        return;
    }
    const uint16_t half = (uint16_t)((r & 0x83ff) | (12 + (r >> 20) % 5) << 10);
    ((uint16_t *)data)[i] = dtype == DTYPE_bf16 ? f32_to_bf16(x) : half;
}

static void
make_weights(KernelRun *run)
{
    run->weights = arena_array(run->arena, (size_t)run->g->nweights + 1, sizeof *run->weights);
    for (int i = 0; i < run->g->nweights; i++) {
        Weight *w = &run->weights[i];
        w->value = run->g->weights[i];
        cr_assert(type_count(&w->value->type, 1, 1, &w->count));
        w->data = buffer(run, w->count * dtype_info[w->value->type.dtype].bytes);
        uint64_t seed = hash_bytes(w->value->name, strlen(w->value->name), 1);
        for (int64_t e = 0; e < w->count; e++)
            fill_element(w->data, e, w->value->type.dtype, &seed);
    }
}

static const void *
open_weight(void *user, const Value *weight)
{
    KernelRun *run = user;
    for (int i = 0; i < run->g->nweights; i++)
        if (run->weights[i].value == weight)
            return run->weights[i].data;
    return NULL;
}

float *
kernel_run_weight(KernelRun *run, const char *tensor, int64_t *count)
{
    for (int i = 0; i < run->g->nweights; i++) {
        Weight *w = &run->weights[i];
        if (strcmp(w->value->tensor, tensor) != 0)
            continue;
        *count = w->count;
        return w->data;
    }
    cr_assert_fail("no weight %s", tensor);
    abort();
}

/* ---- opening --------------------------------------------------------------------------------- */

/* NAME, NAME+what compile.matrix says, or NAME@what compile.device says. */
static Machine
machine_of(Arena *arena, const char *cpu)
{
    const size_t len = strcspn(cpu, "+@");
    Machine m;
    const char *why = NULL;
    cr_assert(cg_machine(arena, arena_strndup(arena, cpu, len), &m, &why), "%s", why);
    cr_assert(machine_matrix(&m, cpu[len] == '+' ? cpu + len + 1 : "auto"));
    cr_assert(machine_gpu(&m, cpu[len] == '@' ? cpu + len + 1 : "cpu"));
    return m;
}

bool
cpu_runs_here(const char *cpu)
{
    Arena *arena = arena_new();
    const Machine t = machine_of(arena, cpu), host = machine_of(arena, "native");
    const bool runs = strncmp(t.triple, host.triple, 6) == 0 && t.fma <= host.fma &&
                      t.vector_bytes <= host.vector_bytes && t.bf16_dot <= host.bf16_dot &&
                      t.i8_dot <= host.i8_dot;
    arena_free(arena);
    const bool ends = strncmp(cpu, "native", 6) == 0 || strncmp(cpu, "generic", 7) == 0;
    return runs && (thorough() || ends);
}

bool
matrix_unit_here(void)
{
    Arena *arena = arena_new();
    const Machine host = machine_of(arena, "native");
    arena_free(arena);
    return host.matrix.kind != MATRIX_none;
}

/* Bytes of the first `states` growing states of a sequence. */
static int64_t
kept_bytes(const KernelRun *run, int states)
{
    const AbiProgram *p = run->program;
    int64_t bytes = 0;
    for (int i = 0; i < states; i++)
        bytes +=
            p->states[i].row_bytes * abi_state_rows(p->states[i].window, ROOM, p->entries[0].block);
    return bytes;
}

static void
make_buffers(KernelRun *run)
{
    const AbiProgram *p = run->program;
    const AbiEntry *entry = &p->entries[0];
    run->kept_stride = kept_bytes(run, p->nstates);
    run->kept = aligned_buffer(run, run->kept_stride * RUN_SLOTS + ABI_KEPT_MORE);
    run->slab = aligned_buffer(run, entry->slab_bytes);
    run->params = aligned_buffer(run, p->param_bytes);
    run->states = aligned_buffer(run, p->state_bytes * RUN_SLOTS);
    run->scratch_bytes =
        entry->scratch_bytes > p->init_scratch_bytes ? entry->scratch_bytes : p->init_scratch_bytes;
    run->scratch = aligned_buffer(run, run->scratch_bytes * MOST_PARTS);
    run->most_rows = entry->block < entry->rows ? entry->block : entry->rows;
    run->vocab = p->outputs[0].width;
    const int64_t elements = run->most_rows * run->vocab;
    run->output = aligned_buffer(run, p->output_bytes);
    run->expected = arena_array(run->arena, (size_t)elements, sizeof *run->expected);
    for (int i = 0; i < INPUT_COUNT; i++)
        run->input[i] = buffer(run, run->most_rows * 4);
    run->ids = run->input[INPUT_ids];
    run->pick = run->input[INPUT_pick];
}

static void
compile(KernelRun *run, const char *cpu)
{
    const Machine target = machine_of(run->arena, cpu);
    const char *why = NULL;
    const Graph *graphs[] = {run->g};
    CgModule *module = cg_module(&target, graphs, 1, run->diag);
    no_faults(run);
    cr_assert(module);
    run->jit = cg_jit(run->arena, module, 2, &why);
    cr_assert(run->jit, "%s", why);
    run->program = cg_jit_program(run->jit);
}

KernelRun *
kernel_run_open(const char *text, const char *cpu)
{
    Arena *arena = arena_new();
    KernelRun *run = arena_alloc(arena, sizeof *run);
    *run = (KernelRun){.arena = arena, .diag = diag_new(), .seed = 1};
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){.path = "kernel", .text = arena_strdup(arena, text), .len = strlen(text)};
    run->g = graph_parse(arena, source, run->diag);
    no_faults(run);
    Machine machine = machine_of(arena, cpu);
    if (machine.gpu.kind != GPU_none)
        machine = machine_of_gpu(&machine);
    run->launches = machine.gpu.kind != GPU_none;
    PassCtx cx = {.machine = &machine, .arena = arena, .diag = run->diag};
    pass_memplan(run->g, &cx);
    graph_verify(run->g, run->diag);
    no_faults(run);
    make_weights(run);
    compile(run, cpu);
    make_buffers(run);
    return run;
}

static Interp *
interp_of(KernelRun *run, int64_t slot)
{
    const WeightSource weights = {.user = run, .open = open_weight};
    if (!run->interp[slot])
        run->interp[slot] = interp_new(run->g, &weights);
    return run->interp[slot];
}

void
kernel_run_close(KernelRun *run)
{
    for (int i = 0; i < RUN_SLOTS; i++)
        interp_free(run->interp[i]);
    cg_jit_free(run->jit);
    for (int i = 0; i < run->nmappings; i++)
        munmap(run->mappings[i].at, run->mappings[i].size);
    diag_free(run->diag);
    arena_free(run->arena);
}

int32_t *
kernel_run_ids(KernelRun *run)
{
    return run->ids;
}

void
kernel_run_begin(KernelRun *run, int slot, int64_t before)
{
    run->before[slot] = before;
}

const AbiProgram *
kernel_run_program(const KernelRun *run)
{
    return run->program;
}

/* ---- running --------------------------------------------------------------------------------- */

static void *
weight_data(KernelRun *run, const AbiWeight *weight)
{
    for (int i = 0; i < run->g->nweights; i++)
        if (strcmp(run->weights[i].value->tensor, weight->tensor) == 0)
            return run->weights[i].data;
    cr_assert_fail("the program wants a weight %s that the graph lacks", weight->tensor);
    abort();
}

void *
kernel_run_operand(KernelRun *run, const AbiOperand *operand)
{
    switch (operand->space) {
    case ABI_SLAB:
        return run->slab + operand->offset;
    case ABI_PARAM:
        return run->params + operand->offset;
    case ABI_WEIGHT:
        return weight_data(run, &run->program->weights[operand->index]);
    case ABI_STATE:
        return run->states + operand->offset;
    case ABI_INPUT:
        for (int i = 0; i < INPUT_COUNT; i++)
            if (strcmp(run->program->inputs[operand->index].name, input_info[i].name) == 0)
                return run->input[i];
        break;
    case ABI_OUTPUT:
        return run->output + operand->offset;
    case ABI_KEPT:
        return run->kept + kept_bytes(run, operand->index);
    }
    cr_assert_fail("operand in no space");
    abort();
}

const void *
kernel_run_value(KernelRun *run, const char *name)
{
    const Value *v = graph_find(run->g, name);
    const char *const spaces[SPACE_COUNT] = {
        [SPACE_PARAM] = run->params, [SPACE_SLAB] = run->slab, [SPACE_OUTPUT] = run->output};
    cr_assert(v && spaces[v->place.space], "%s has no place in memory", name);
    return spaces[v->place.space] + v->place.offset;
}

static void
run_steps(KernelRun *run, AbiRange range, AbiCall *call, int parts)
{
    const AbiProgram *p = run->program;
    for (int32_t i = range.first; i < range.first + range.count; i++) {
        const AbiStep *step = &p->steps[i];
        void *operands[64];
        cr_assert_leq(step->operands, 64);
        for (int32_t j = 0; j < step->operands; j++)
            operands[j] = kernel_run_operand(run, &p->operands[step->first_operand + j]);
        step_run(step, operands, call, run->scratch, run->scratch_bytes, run->launches ? 1 : parts);
    }
}

const float *
kernel_run_code(KernelRun *run, const RunCall *call, int64_t *count)
{
    const AbiEntry *entry = &run->program->entries[0];
    AbiSeg segs[RUN_SLOTS];
    AbiCall abi = {
        .nseg = call->nseg,
        .seg = segs,
        .state_stride = run->program->state_bytes,
        .kept_stride = run->kept_stride,
        .room = ROOM,
        .block = entry->block,
    };
    for (int i = 0; i < call->nseg; i++) {
        segs[i] = (AbiSeg){.row = abi.rows,
                           .len = call->len[i],
                           .slot = call->slot[i],
                           .past = run->before[call->slot[i]]};
        abi.rows += call->len[i];
        cr_assert_leq(abi.rows, run->most_rows);
        for (int64_t row = segs[i].row; row < abi.rows; row++)
            run->input[INPUT_positions][row] = (int32_t)run->before[call->slot[i]]++;
    }
    abi.picked = abi.rows;
    for (int64_t i = 0; i < abi.rows; i++)
        run->pick[i] = (int32_t)i;
    if (!run->loaded)
        run_steps(run, run->program->init, &abi, call->parts);
    run->loaded = true;
    run_steps(run, entry->layers, &abi, call->parts);
    run_steps(run, entry->head, &abi, call->parts);
    run_steps(run, entry->choose, &abi, call->parts);
    *count = abi.rows * run->vocab;
    return (const float *)(const void *)run->output;
}

const double *
kernel_run_interp(KernelRun *run, const RunCall *call, int64_t *count)
{
    int64_t row = 0;
    for (int64_t i = 0; i < run->most_rows; i++)
        run->pick[i] = (int32_t)i;
    for (int i = 0; i < call->nseg; i++) {
        const char *why = NULL;
        cr_assert(interp_run(interp_of(run, call->slot[i]), run->ids + row, call->len[i], run->pick,
                             call->len[i], run->expected + row * run->vocab, &why),
                  "%s", why);
        row += call->len[i];
    }
    *count = row * run->vocab;
    return run->expected;
}

static double
difference(double got, double expected)
{
    if (isnan(got) && isnan(expected))
        return 0;
    if (got == expected)
        return 0;
    return fabs(got - expected) / (1 + fabs(expected));
}

static double
states_difference(KernelRun *run, int64_t slot)
{
    double worst = 0;
    for (int32_t i = 0; i < run->program->nstates; i++) {
        const AbiState *state = &run->program->states[i];
        if (state->row_bytes)
            continue; /* what is read of them shows in the output */
        const char *at = run->states + slot * run->program->state_bytes + state->offset;
        const bool half = state->dtype == ABI_BF16;
        int64_t count = 0;
        const double *expected = interp_state(interp_of(run, slot), state->name, &count);
        cr_assert_eq(count * (half ? 2 : 4), state->bytes);
        for (int64_t e = 0; e < count; e++) {
            const double got = half ? bf16_to_f32(((const uint16_t *)(const void *)at)[e])
                                    : ((const float *)(const void *)at)[e];
            const double d = difference(got, expected[e]);
            if (isnan(d))
                return d;
            worst = fmax(worst, d);
        }
    }
    return worst;
}

double
kernel_run_difference(KernelRun *run, const RunCall *call)
{
    int64_t rows = 0, count = 0, same = 0;
    for (int i = 0; i < call->nseg; i++)
        rows += call->len[i];
    for (int64_t i = 0; i < rows; i++)
        run->ids[i] = (int32_t)(next_random(&run->seed) % (uint64_t)call->vocab);
    const float *got = kernel_run_code(run, call, &count);
    const double *expected = kernel_run_interp(run, call, &same);
    cr_assert_eq(count, same);
    double worst = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = difference(got[i], expected[i]);
        if (isnan(d))
            return d;
        worst = fmax(worst, d);
    }
    for (int i = 0; i < call->nseg; i++) {
        const double d = states_difference(run, call->slot[i]);
        if (isnan(d))
            return d;
        worst = fmax(worst, d);
    }
    return worst;
}

/* Ids that all differ from their neighbours, the same each time. */
static void
set_ids(KernelRun *run, int first, int count, int vocab)
{
    for (int i = 0; i < count; i++)
        run->ids[i] = (first + i) * 31 % vocab;
}

void
kernel_run_check_pieces(KernelRun *whole, KernelRun *pieces, int rows, int vocab, int most)
{
    int64_t count = 0;
    set_ids(whole, 0, rows, vocab);
    RunCall call = {.nseg = 1, .len = {rows}, .vocab = vocab, .parts = 1};
    const float *want = kernel_run_code(whole, &call, &count);
    const int64_t width = count / rows;
    for (int first = 0, len = 1; first < rows; first += len, len = 1 + len % most) {
        len = first + len > rows ? rows - first : len;
        set_ids(pieces, first, len, vocab);
        call = (RunCall){.nseg = 1, .len = {len}, .vocab = vocab, .parts = 1 + len % 7};
        const float *got = kernel_run_code(pieces, &call, &count);
        cr_assert_eq(count, len * width);
        cr_expect(memcmp(got, want + first * width, (size_t)count * sizeof *got) == 0,
                  "rows %d to %d", first, first + len);
    }
}

double
kernel_run_share_off(KernelRun *run, int rows, int vocab)
{
    const RunCall call = {.nseg = 1, .len = {rows}, .vocab = vocab, .parts = 2};
    int64_t count = 0;
    double worst = 0, greatest = 0;
    set_ids(run, 0, rows, vocab);
    const float *got = kernel_run_code(run, &call, &count);
    const double *want = kernel_run_interp(run, &call, &count);
    for (int64_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs(got[i] - want[i]));
        greatest = fmax(greatest, fabs(want[i]));
    }
    return worst / greatest;
}

CommandResult
kernel_run_ptx(const char *text, const char *device)
{
    char *dir = temp_dir();
    Arena *arena = arena_new();
    const char *path = arena_printf(arena, "%s/t.ir", dir);
    cr_assert(write_whole(path, text, strlen(text)));
    const char *argv[] = {SSMC_BINARY, "compile", path, "--device", device, "--emit", "ptx", NULL};
    const CommandResult r = command_run(argv, NULL, 0);
    arena_free(arena);
    temp_dir_remove(dir);
    return r;
}
