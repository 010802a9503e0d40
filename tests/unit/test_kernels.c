/* tests/unit/test_kernels.c -- the kernels that multiply (linear, ssd_scan, the chunked ssd)
 * against the interpreter, over shapes and targets.
 *
 * Graphs are written at stage kernel and get a simple memory plan here; activations come from
 * tables of random rows through `embed`. The steps of the program are run by hand, each as several
 * parts, one after the other. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/codegen.h"
#include "ir/ir.h"
#include "runtime/internal.h"
#include "tests/kernel_run.h"
#include "tests/step_run.h"

/* Two roundings of 2^-9 a product, beside the greatest of a thousand numbers. */
static const double BF16_ALLOWED = 1e-2;

enum { BLOCK = 96, MAX_SEGS = 8, MAX_PARTS = 3, MOST_PARTS = 16, MAX_OPERANDS = 32, GUARD = 256 };

#if defined(__x86_64__)
static const char *const cpus[] = {"native", "x86-64-v3", "x86-64"};
#else
static const char *const cpus[] = {"native"};
#endif

/* ---- a graph with weights, a program and memory ------------------------------------------ */

typedef struct {
    Arena *arena;
    Diag *diag;
    Source source;
    Graph *graph;
    CgJit *jit;
    const AbiProgram *abi;
    /* Weights: uniform in [-1, 1), or of -1, 0 and 1 alone; but columns [dt_from, dt_to) of `table`
     * are dt + spread * that, and A is decay * (1 + that / 4). */
    bool whole;
    int64_t width, dt_from, dt_to;
    double dt, spread, decay;
    const char *matrix; /* compile.matrix; NULL: auto */
    char **weights;
    char *slab, *params, *states, *out, *scratch;
    AbiSgemm *sgemm;
} Model;

/* Uniform in [-1, 1), from a name and an index: the same in every run. */
static double
uniform(const char *name, int64_t i)
{
    const uint64_t bits = hash_bytes(&i, sizeof i, hash_bytes(name, strlen(name), 1));
    return (double)(bits >> 11) * 0x1p-52 - 1;
}

static float
weight_element(const Model *m, const char *name, int64_t i)
{
    const double u = m->whole ? rint(1.5 * uniform(name, i)) : uniform(name, i);
    if (strcmp(name, "A") == 0)
        return (float)(m->decay * (1 + u / 4));
    const int64_t col = m->width > 0 ? i % m->width : 0;
    const bool is_dt = strcmp(name, "table") == 0 && col >= m->dt_from && col < m->dt_to;
    return (float)(is_dt ? m->dt + m->spread * u : u);
}

static char *
weight_data(Model *m, const char *name, int64_t count)
{
    float *data = arena_array(m->arena, (size_t)count, sizeof *data);
    for (int64_t i = 0; i < count; i++)
        data[i] = weight_element(m, name, i);
    return (char *)data;
}

static const void *
open_weight(void *user, const Value *weight)
{
    int64_t count = 0;
    cr_assert(type_count(&weight->type, 0, 0, &count));
    return weight_data(user, weight->name, count);
}

static char *
memory(int64_t bytes)
{
    void *p = NULL;
    cr_assert(posix_memalign(&p, 64, (size_t)round_up(bytes + 1, 64)) == 0);
    memset(p, 0xff, (size_t)round_up(bytes + 1, 64)); /* NaN: what is read must have been written */
    return p;
}

static void
expect_no_faults(const Model *m, const void *made)
{
    if (made)
        return;
    StrBuf faults = {0};
    diag_print(m->diag, &faults);
    cr_assert(false, "%s", sb_text(&faults));
}

/* ---- a memory plan: nothing shares ------------------------------------------------------- */

static bool
crosses(const Graph *g, const Value *v)
{
    for (int i = 0; i < g->noutputs; i++)
        if (g->outputs[i] == v)
            return true;
    for (const Node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->nin; i++)
            if (n->in[i] == v && (n->kernel != v->def->kernel || !n->kernel))
                return true;
    return false;
}

static void
place_result(Graph *g, Value *v)
{
    int64_t count = 0;
    cr_assert(type_count(&v->type, g->block, g->rows, &count));
    const int64_t bytes = round_up(count * dtype_info[v->type.dtype].bytes, 64);
    const bool picked = !v->is_param && v->type.shape.dim[0].kind == DIM_ROWS;
    const Space space = v->is_param ? SPACE_PARAM : picked ? SPACE_OUTPUT : SPACE_SLAB;
    int64_t *const total = v->is_param ? &g->param_bytes
                           : picked    ? &g->output_bytes
                                       : &g->slab_bytes;
    v->place = (Place){space, *total, v->is_param ? 0 : type_width(&v->type)};
    *total += bytes;
}

static void
place_view(const Node *split)
{
    const Place *from = &split->in[0]->place;
    int64_t offset = from->offset;
    for (int i = 0; i < split->nout; i++) {
        Value *v = split->out[i];
        v->place = (Place){from->space, offset, from->stride};
        offset += type_width(&v->type) * dtype_info[v->type.dtype].bytes;
    }
}

static void
plan_memory(Graph *g)
{
    g->inputs[0]->place = (Place){SPACE_INPUT, 0, 1};
    for (Node *n = g->first; n; n = n->next) {
        if (!n->kernel) {
            place_view(n);
            continue;
        }
        for (int i = 0; i < n->nout; i++)
            if (crosses(g, n->out[i]))
                place_result(g, n->out[i]);
    }
}

/* ---- running ----------------------------------------------------------------------------- */

/* Bytes from one thread's scratch to the next: what the program asks for, and a guard of 0xff. */
static int64_t
scratch_stride(const Model *m)
{
    const int64_t run = m->abi->entries[0].scratch_bytes, init = m->abi->init_scratch_bytes;
    return round_up(run > init ? run : init, 64) + GUARD;
}

static void
run_steps(Model *m, AbiRange range, const int32_t *ids, AbiCall call, int parts)
{
    char *const bases[] = {m->slab, m->params, NULL, m->states, NULL, m->out};
    int32_t pick[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        pick[i] = i;
    call.picked = call.rows;
    for (int s = range.first; s < range.first + range.count; s++) {
        const AbiStep *step = &m->abi->steps[s];
        void *operands[MAX_OPERANDS];
        cr_assert(step->operands <= MAX_OPERANDS);
        for (int i = 0; i < step->operands; i++) {
            const AbiOperand *o = &m->abi->operands[step->first_operand + i];
            char *base = bases[o->space];
            if (o->space == ABI_WEIGHT)
                base = m->weights[o->index];
            else if (o->space == ABI_INPUT)
                base =
                    strcmp(m->abi->inputs[o->index].name, "ids") == 0 ? (char *)ids : (char *)pick;
            operands[i] = base + o->offset;
        }
        step_run(step, operands, &call, m->scratch, scratch_stride(m), parts);
    }
}

static void
check_guards(const Model *m)
{
    const int64_t stride = scratch_stride(m);
    for (int part = 0; part < MOST_PARTS; part++)
        for (int64_t i = (part + 1) * stride - GUARD; i < (part + 1) * stride; i++)
            cr_assert(m->scratch[i] == (char)0xff, "part %d writes past its scratch", part);
}

/* Rows `ids` in segments; the output rows in m->out. */
static void
run_rows(Model *m, const int32_t *ids, const AbiSeg *segs, int nseg, int parts)
{
    const AbiEntry *entry = &m->abi->entries[0];
    const AbiCall call = {
        .rows = segs[nseg - 1].row + segs[nseg - 1].len,
        .nseg = nseg,
        .seg = segs,
        .state_stride = round_up(m->abi->state_bytes, 64),
        .sgemm = m->sgemm,
    };
    memset(m->scratch, 0xff, (size_t)(MOST_PARTS * scratch_stride(m)));
    run_steps(m, entry->layers, ids, call, parts);
    run_steps(m, entry->head, ids, call, parts);
    check_guards(m);
}

static void
model_memory(Model *m)
{
    const AbiProgram *abi = m->abi;
    m->weights = arena_array(m->arena, (size_t)abi->nweights + 1, sizeof *m->weights);
    for (int i = 0; i < abi->nweights; i++) {
        const AbiWeight *w = &abi->weights[i];
        int64_t count = 1;
        for (int d = 0; d < w->rank; d++)
            count *= w->dim[d];
        m->weights[i] = weight_data(m, w->tensor, count);
    }
    const int64_t states = MAX_SEGS * round_up(abi->state_bytes, 64);
    m->slab = memory(abi->entries[0].slab_bytes);
    m->params = memory(abi->param_bytes);
    m->states = memory(states);
    memset(m->states, 0, (size_t)states);
    m->out = memory(abi->output_bytes);
    m->scratch = memory(MOST_PARTS * scratch_stride(m));
    const AbiCall call = {.rows = 1};
    run_steps(m, abi->init, NULL, call, 2);
}

/* Compiles text for cpu into m, whose weight rule is set. */
static void
model_open(Model *m, const char *text, const char *cpu)
{
    m->arena = arena_new();
    m->diag = diag_new();
    const char *copy = arena_strdup(m->arena, text), *why = "";
    m->source = (Source){"test", copy, strlen(copy)};
    m->graph = graph_parse(m->arena, &m->source, m->diag);
    expect_no_faults(m, m->graph);
    plan_memory(m->graph);
    Machine target;
    cr_assert(cg_machine(m->arena, cpu, &target, &why), "%s", why);
    cr_assert(machine_matrix(&target, m->matrix ? m->matrix : "auto"));
    const Graph *graphs[] = {m->graph};
    CgModule *module = cg_module(&target, graphs, 1, m->diag);
    expect_no_faults(m, module);
    m->jit = cg_jit(m->arena, module, 1, &why);
    cr_assert(m->jit, "%s", why);
    m->abi = cg_jit_program(m->jit);
    model_memory(m);
}

static void
model_close(Model *m)
{
    cg_jit_free(m->jit);
    free(m->slab);
    free(m->params);
    free(m->states);
    free(m->out);
    free(m->scratch);
    diag_free(m->diag);
    arena_free(m->arena);
}

/* ---- the interpreter's answer ------------------------------------------------------------ */

static void
interpret(Interp *in, const int32_t *ids, int64_t count, double *out)
{
    int32_t pick[BLOCK];
    for (int32_t i = 0; i < count; i++)
        pick[i] = i;
    const char *why = "";
    cr_assert(interp_run(in, ids, count, pick, count, out, &why), "%s", why);
}

/* Greatest difference over the greatest expected number. */
static double
difference(const double *want, const float *got, int64_t count)
{
    double worst = 0, greatest = 1e-30;
    for (int64_t i = 0; i < count; i++) {
        const double off = fabs(want[i] - (double)got[i]);
        if (isnan(off))
            return INFINITY;
        worst = fmax(worst, off);
        greatest = fmax(greatest, fabs(want[i]));
    }
    return worst / greatest;
}

/* ---- ssd --------------------------------------------------------------------------------- */

typedef struct {
    int H, P, N, G, Q;
    double dt, spread, A;
    int lens[MAX_SEGS]; /* token rows of each sequence; 0 ends them */
    bool whole;         /* x, B, C of -1, 0 and 1: sums are exact in bf16 where they are rounded */
} SsdCase;

typedef enum { SCAN, WINDOWS, CHUNKED, CHUNKED_BF16, ON_UNIT, ON_MODEL } Form;
static const char *const form_name[] = {"scan",         "windows",         "chunked",
                                        "chunked bf16", "chunked on unit", "chunked on model"};

static const char *
ssd_kernel(Arena *arena, const SsdCase *c, Form form)
{
    const char *dims =
        arena_printf(arena, "groups=%d, heads=%d, head_dim=%d, state=%d", c->G, c->H, c->P, c->N);
    if (form == SCAN)
        return arena_printf(arena, "    y = ssd_scan(x, dt, A, B, C, D, s) {%s}\n", dims);
    const char *chunk = c->Q ? arena_printf(arena, "chunk=%d", c->Q) : "chunk=all";
    if (form == WINDOWS)
        return arena_printf(arena, "    y = ssd_scan(x, dt, A, B, C, D, s) {%s, chunk=%d}\n", dims,
                            c->Q ? c->Q : BLOCK);
    const char *how =
        arena_printf(arena, "%s, dot=%s", chunk, form >= CHUNKED_BF16 ? "bf16" : "f32");
    return arena_printf(arena,
                        "    a = chunk_decay(dt, A) {%s}\n"
                        "    cb = chunk_cb(C, B) {groups=%d, state=%d, %s}\n"
                        "    add = chunk_state(B, x, dt, a) {%s, %s}\n"
                        "    enter = state_pass(add, a, s) {%s}\n"
                        "    y = chunk_out(cb, a, dt, x, C, enter, D) {%s, %s}\n",
                        chunk, c->G, c->N, how, dims, how, chunk, dims, how);
}

static const char *
ssd_text(Arena *arena, const SsdCase *c, Form form, Dtype kept)
{
    const int inner = c->H * c->P, bc = c->G * c->N, width = inner + c->H + 2 * bc;
    return arena_printf(arena,
                        "graph \"ssd\" kernel {\n"
                        "  block %d\n"
                        "  rows %d\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight table: f32[%d,%d]\n"
                        "  weight A: f32[%d]\n"
                        "  weight D: f32[%d]\n"
                        "  state s: %s[%d,%d,%d]\n"
                        "  kernel rows {part=rows} {\n    all = embed(ids, table)\n  }\n"
                        "  x, dt, B, C = split(all) {sizes=[%d, %d, %d, %d]}\n"
                        "  kernel ssd {%spart=heads} {\n%s  }\n"
                        "  kernel pick {part=rows} {\n    out = take(y, pick)\n  }\n"
                        "  output out\n"
                        "}\n",
                        BLOCK, BLOCK, BLOCK, width, c->H, c->H, dtype_info[kept].name, c->H, c->N,
                        c->P, inner, c->H, bc, bc, form >= ON_UNIT ? "unit=matrix, " : "",
                        ssd_kernel(arena, c, form));
}

/* Rows [from, to) of every sequence as one call; slots are the sequences in reverse. */
static int
segments(const SsdCase *c, bool second, AbiSeg *segs, int32_t *ids)
{
    int count = 0, row = 0, id = 0, sequences = 0;
    while (sequences < MAX_SEGS && c->lens[sequences])
        sequences++;
    for (int s = 0; s < sequences; s++) {
        const int cut = c->lens[s] / 3;
        const int from = second ? cut : 0, to = second ? c->lens[s] : cut;
        if (to > from)
            segs[count++] = (AbiSeg){.row = row, .len = to - from, .slot = sequences - 1 - s};
        for (int t = from; t < to; t++)
            ids[row++] = id + t;
        id += c->lens[s];
    }
    return count;
}

/* Of a slot, as f32. */
static const float *
state_of(Model *m, int64_t slot, int64_t count)
{
    const char *at = m->states + slot * round_up(m->abi->state_bytes, 64);
    if (m->abi->states[0].dtype == ABI_F32)
        return (const float *)(const void *)at;
    float *wide = arena_array(m->arena, (size_t)count, sizeof *wide);
    for (int64_t i = 0; i < count; i++)
        wide[i] = bf16_to_f32(((const uint16_t *)(const void *)at)[i]);
    return wide;
}

/* Both sides are given the same numbers and compared with `most` of the greatest expected one. */
static void
check_call(Model *m, const SsdCase *c, Interp *const *interp, bool second, double most,
           const char *what)
{
    AbiSeg segs[MAX_SEGS];
    int32_t ids[BLOCK];
    const int nseg = segments(c, second, segs, ids), inner = c->H * c->P;
    if (nseg == 0)
        return;
    run_rows(m, ids, segs, nseg, MAX_PARTS);
    const int64_t size = (int64_t)c->H * c->N * c->P;
    double *want = arena_array(m->arena, (size_t)(BLOCK * inner), sizeof *want);
    for (int i = 0; i < nseg; i++) {
        const AbiSeg *seg = &segs[i];
        interpret(interp[seg->slot], ids + seg->row, seg->len, want);
        const float *got = (float *)m->out + seg->row * inner;
        const double off = difference(want, got, seg->len * inner);
        cr_expect(off < most, "%s: rows of segment %d are off by %g", what, i, off);
        int64_t count = 0;
        const double *state = interp_state(interp[seg->slot], "s", &count);
        const double lost = difference(state, state_of(m, seg->slot, size), size);
        cr_expect(count == size && lost < most, "%s: state of segment %d is off by %g", what, i,
                  lost);
    }
}

/* What rounding to bf16 may cost; integers as small as these are bf16 already. */
static double
allowed(const SsdCase *c, Form form, Dtype kept)
{
    const bool rounds = form >= CHUNKED_BF16 || kept == DTYPE_bf16;
    return rounds && !c->whole ? BF16_ALLOWED : 3e-6;
}

/* The rule of its weights. */
static Model
ssd_model(const SsdCase *c, Form form)
{
    Model m = {.dt = c->dt, .spread = c->spread, .decay = c->A, .whole = c->whole};
    m.dt_from = (int64_t)c->H * c->P;
    m.dt_to = m.dt_from + c->H;
    m.width = m.dt_to + 2 * (int64_t)c->G * c->N;
    m.matrix = form == ON_MODEL ? "model" : NULL;
    return m;
}

static void
check_ssd(const SsdCase *c, Form form, Dtype kept, const char *cpu)
{
    Model m = ssd_model(c, form);
    Arena *texts = arena_new();
    model_open(&m, ssd_text(texts, c, form, kept), cpu);
    const char *what =
        arena_printf(texts, "%s %s state %s H=%d P=%d N=%d G=%d Q=%d dt=%g A=%g", form_name[form],
                     cpu, dtype_info[kept].name, c->H, c->P, c->N, c->G, c->Q, c->dt, c->A);
    const WeightSource source = {&m, open_weight};
    Interp *interp[MAX_SEGS];
    for (int i = 0; i < MAX_SEGS; i++)
        interp[i] = interp_new(m.graph, &source);
    check_call(&m, c, interp, false, allowed(c, form, kept), what);
    check_call(&m, c, interp, true, allowed(c, form, kept), what);
    for (int i = 0; i < MAX_SEGS; i++)
        interp_free(interp[i]);
    model_close(&m);
    arena_free(texts);
}

static const SsdCase ssd_cases[] = {
    /* H, P, N, G, Q, dt, spread, A, sequences */
    {4, 64,  32,  1, 32, 0.1,   0.09,  -1,        {70},                false},
    {4, 64,  32,  1, 0,  0.1,   0.09,  -1,        {50, 1, 7},          false},
    {4, 80,  24,  2, 7,  0.1,   0.09,  -1,        {1, 8, 29},          false},
    {6, 5,   33,  2, 24, 0.1,   0.09,  -1,        {23, 49, 2, 1},      false},
    {3, 1,   1,   3, 1,  0.5,   0.4,   -1,        {9, 4},              false},
    {2, 8,   128, 1, 96, 0.1,   0.09,  -1,        {90},                false},
    {8, 16,  16,  4, 12, 0.1,   0.09,  -1,        {1, 1, 1, 1, 3, 30}, false},
    {4, 64,  16,  1, 64, 1,     0.5,   -80,       {64, 30},            false}, /* forgets at once */
    {4, 64,  16,  1, 64, 1e-7,  1e-8,  -1,        {64, 30},            false}, /* forgets nothing */
    {2, 20,  10,  1, 16, 1,     1,     -80,       {90},                false}, /* both in one chunk */
    {2, 80,  96,  1, 48, 0.1,   0.09,  -4,        {90},                false},
    {2, 32,  64,  2, 24, 0.1,   0.09,  -4,        {1, 60, 13},         false},
    {2, 64,  128, 1, 48, 0.1,   0.09,  -16,       {96},                false}, /* some heads of both kinds */
    {1, 128, 17,  1, 10, 0.1,   0.09,  -1,        {31, 3},             false},
    {1, 112, 40,  1, 33, 0.1,   0.09,  -1,        {95},                false},
    {4, 64,  33,  2, 13, 1,     0,     -1e-30,    {40, 1, 12},         true },
    {2, 80,  128, 1, 48, 1,     0,     -1e-30,    {90},                true },
    {4, 64,  16,  1, 64, 1,     0.1,   -90,       {64, 30},            false}, /* decays: denormal f32 */
    {2, 20,  10,  1, 96, 0.1,   0.09,  -1e38,     {90},                false}, /* their sums: infinite */
    {2, 20,  10,  1, 16, 1,     0.5,   -INFINITY, {90},                false},
    {4, 64,  33,  2, 13, 0,     0,     -INFINITY, {40, 1, 12},         true }, /* no time passes */
    {4, 64,  16,  1, 24, 1,     1,     -INFINITY, {64, 30},            true }, /* none, or all is lost */
    {2, 20,  10,  1, 16, 1,     1,     -1e38,     {64, 30},            true },
    {2, 20,  10,  1, 16, 1e-30, 1e-30, -1e30,     {90},                false},
    {2, 96,  64,  1, 40, 0.1,   0.09,  -1,        {90, 2},             false}, /* columns in more than one block */
    {1, 176, 20,  1, 32, 0.1,   0.09,  -4,        {70},                false},
    {2, 32,  70,  1, 96, 4,     1,     -8,        {96},                false}, /* forgets within a tile */
    {2, 64,  64,  1, 64, 0.1,   0.09,  -10,       {64, 7},             false}, /* forgets within a chunk */
};

static bool
has_unit(void)
{
    Arena *arena = arena_new();
    Machine host;
    const char *why = "";
    cr_assert(cg_machine(arena, "native", &host, &why), "%s", why);
    arena_free(arena);
    return host.matrix.bf16;
}

/* The unit is that of the CPU that runs this. A state in bf16 differs only in how it is read and
 * kept, so that each case has one on one CPU. */
static void
check_all_ssd(Form form, Dtype kept)
{
    if (form == ON_UNIT && !has_unit())
        return;
    for (size_t i = 0; i < COUNT_OF(ssd_cases); i++)
        for (size_t j = 0; j < (form == ON_UNIT ? 1 : COUNT_OF(cpus)); j++)
            if ((kept == DTYPE_f32 || form == ON_UNIT || i % COUNT_OF(cpus) == j) &&
                cpu_runs_here(cpus[j]))
                check_ssd(&ssd_cases[i], form, kept, cpus[j]);
}

Test(kernels, chunked_ssd_agrees_with_the_interpreter)
{
    check_all_ssd(CHUNKED, DTYPE_f32);
}

Test(kernels, chunked_ssd_of_bf16_agrees_with_the_interpreter)
{
    check_all_ssd(CHUNKED_BF16, DTYPE_f32);
}

Test(kernels, chunked_ssd_on_the_matrix_unit_agrees_with_the_interpreter)
{
    check_all_ssd(ON_UNIT, DTYPE_f32);
}

Test(kernels, chunked_ssd_on_the_model_of_a_matrix_unit_agrees_with_the_interpreter)
{
    check_all_ssd(ON_MODEL, DTYPE_f32);
}

/* Rows and states of both calls of a case. */
static void
run_ssd(Model *m, const SsdCase *c, Arena *texts, Form form, char *rows[2])
{
    *m = ssd_model(c, form);
    model_open(m, ssd_text(texts, c, form, DTYPE_f32), "native");
    for (int second = 0; second < 2; second++) {
        AbiSeg segs[MAX_SEGS];
        int32_t ids[BLOCK];
        const int nseg = segments(c, second, segs, ids);
        const size_t bytes = (size_t)m->abi->output_bytes;
        rows[second] = arena_alloc(texts, bytes);
        memset(m->out, 0, bytes);
        if (nseg > 0)
            run_rows(m, ids, segs, nseg, MAX_PARTS);
        memcpy(rows[second], m->out, bytes);
    }
}

Test(kernels, the_matrix_unit_and_its_model_give_the_same_bits)
{
    if (!has_unit())
        return;
    for (size_t i = 0; i < COUNT_OF(ssd_cases); i++) {
        const SsdCase *c = &ssd_cases[i];
        Arena *texts = arena_new();
        Model unit, model;
        char *rows[2][2];
        run_ssd(&unit, c, texts, ON_UNIT, rows[0]);
        run_ssd(&model, c, texts, ON_MODEL, rows[1]);
        const size_t bytes = (size_t)unit.abi->output_bytes;
        const size_t states = (size_t)(MAX_SEGS * round_up(unit.abi->state_bytes, 64));
        for (int call = 0; call < 2; call++)
            cr_expect(memcmp(rows[0][call], rows[1][call], bytes) == 0, "case %zu, call %d", i,
                      call);
        cr_expect(memcmp(unit.states, model.states, states) == 0, "case %zu: states", i);
        model_close(&unit);
        model_close(&model);
        arena_free(texts);
    }
}

Test(kernels, ssd_scan_agrees_with_the_interpreter)
{
    check_all_ssd(SCAN, DTYPE_f32);
}

Test(kernels, ssd_scan_by_windows_agrees_with_the_interpreter)
{
    check_all_ssd(WINDOWS, DTYPE_f32);
}

Test(kernels, ssd_whose_state_is_bf16_agrees_with_the_interpreter)
{
    for (Form form = SCAN; form <= ON_MODEL; form++)
        check_all_ssd(form, DTYPE_bf16);
}

/* ---- linear ------------------------------------------------------------------------------ */

typedef struct {
    int K, O, panel, tile; /* panel 0: OpenBLAS over the weight as it is */
    bool bf16, epilogue;   /* epilogue: bias, silu, residual */
} LinearCase;

static const char *
linear_weight(Arena *arena, const LinearCase *c)
{
    if (c->panel == 0)
        return "";
    return arena_printf(arena, "  kernel pack {part=rows} {\n%s    wp = pack(%s) {panel=%d}\n  }\n",
                        c->bf16 ? "    wc = cast(w) {to=bf16}\n" : "", c->bf16 ? "wc" : "w",
                        c->panel);
}

static const char *
linear_text(Arena *arena, const LinearCase *c)
{
    const char *cast =
        c->bf16 ? "  kernel cast {part=rows} {\n    xc = cast(x) {to=bf16}\n  }\n" : "";
    const char *attrs =
        c->panel ? arena_printf(arena, "out=%d, matmul=emitted", c->O) : "matmul=blas";
    const char *tile = c->tile ? arena_printf(arena, "tile=%d, part=cols", c->tile) : "part=cols";
    const char *call = arena_printf(arena, "linear(%s, %s%s) {%s}", c->bf16 ? "xc" : "x",
                                    c->panel ? "wp" : "w", c->epilogue ? ", bias" : "", attrs);
    const char *body = c->epilogue ? arena_printf(arena,
                                                  "    t = %s\n    u = silu(t)\n"
                                                  "    y = add(u, r)\n",
                                                  call)
                                   : arena_printf(arena, "    y = %s\n", call);
    return arena_printf(arena,
                        "graph \"linear\" kernel {\n"
                        "  block %d\n"
                        "  rows %d\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: f32[%d,%d]\n"
                        "  weight r_table: f32[%d,%d]\n"
                        "  weight w: f32[%d,%d]\n"
                        "  weight bias: f32[%d]\n"
                        "%s"
                        "  kernel x_rows {part=rows} {\n    x = embed(ids, x_table)\n  }\n"
                        "  kernel r_rows {part=rows} {\n    r = embed(ids, r_table)\n  }\n"
                        "%s"
                        "  kernel linear {%s} {\n%s  }\n"
                        "  kernel pick {part=rows} {\n    out = take(y, pick)\n  }\n"
                        "  output out\n"
                        "}\n",
                        BLOCK, BLOCK, BLOCK, c->K, BLOCK, c->O, c->O, c->K, c->O,
                        linear_weight(arena, c), cast, tile, body);
}

static void
linear_rows(Model *m, int first, int count, int parts)
{
    int32_t ids[BLOCK];
    for (int i = 0; i < count; i++)
        ids[i] = first + i;
    const AbiSeg seg = {.len = count};
    run_rows(m, ids, &seg, 1, parts);
}

static void
check_linear(const LinearCase *c, const char *cpu)
{
    Model m = {0};
    Arena *texts = arena_new();
    cr_assert_eq(rt_blas_open(&m.sgemm), SSMC_OK, "%s", ssmc_error());
    model_open(&m, linear_text(texts, c), cpu);
    cr_expect_eq(m.abi->calls_blas, c->panel == 0);
    const WeightSource source = {&m, open_weight};
    Interp *interp = interp_new(m.graph, &source);
    double *want = arena_array(texts, (size_t)(BLOCK * c->O), sizeof *want);
    const int counts[] = {1, 2, 3, 7, 40, BLOCK};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        int32_t ids[BLOCK];
        for (int t = 0; t < BLOCK; t++)
            ids[t] = t;
        interpret(interp, ids, counts[i], want);
        linear_rows(&m, 0, counts[i], 1 + (int)i % MAX_PARTS);
        const double off = difference(want, (float *)m.out, (int64_t)counts[i] * c->O);
        cr_expect(off < 3e-6, "%s K=%d O=%d panel=%d tile=%d bf16=%d T=%d: off by %g", cpu, c->K,
                  c->O, c->panel, c->tile, c->bf16, counts[i], off);
    }
    interp_free(interp);
    model_close(&m);
    rt_blas_close();
    arena_free(texts);
}

static const LinearCase linear_cases[] = {
    {64,  128, 64, 0,  false, false},
    {64,  128, 64, 0,  true,  false},
    {33,  70,  32, 3,  false, true },
    {33,  70,  32, 0,  true,  true },
    {1,   5,   16, 14, false, true },
    {7,   1,   8,  0,  true,  true },
    {300, 40,  48, 8,  false, true },
    {300, 40,  0,  0,  false, false},
    {33,  70,  0,  0,  false, true },
};

Test(kernels, linear_agrees_with_the_interpreter)
{
    for (size_t i = 0; i < COUNT_OF(linear_cases); i++)
        for (size_t j = 0; j < COUNT_OF(cpus); j++)
            if (cpu_runs_here(cpus[j]))
                check_linear(&linear_cases[i], cpus[j]);
}

/* A row's result does not depend on the rows beside it, nor on how many threads share the work. */
Test(kernels, emitted_linear_gives_the_same_bits_in_any_batch)
{
    const LinearCase cases[] = {
        {101, 70, 32, 0, false, true},
        {101, 70, 32, 0, true,  true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Model m = {0};
        Arena *texts = arena_new();
        model_open(&m, linear_text(texts, &cases[i]), "native");
        const size_t row = (size_t)cases[i].O * sizeof(float);
        linear_rows(&m, 0, 40, 1);
        char *whole = arena_alloc(texts, 40 * row);
        memcpy(whole, m.out, 40 * row);
        for (int first = 0, count = 1; first + count <= 40; first += count, count++) {
            linear_rows(&m, first, count, 1 + count % MAX_PARTS);
            cr_expect(memcmp(m.out, whole + (size_t)first * row, (size_t)count * row) == 0,
                      "rows %d to %d", first, first + count);
        }
        model_close(&m);
        arena_free(texts);
    }
}

/* What a runtime knows of steps in short passes: of the linear the panels of W, not of what packs
 * it; of others that parts divide rows of the pass. */
Test(kernels, a_program_says_what_short_passes_divide)
{
    const LinearCase c = {101, 70, 16, 3, false, true};
    Arena *texts = arena_new();
    Model m = {0};
    model_open(&m, linear_text(texts, &c), "native");
    for (int i = 0; i < m.abi->nsteps; i++) {
        const AbiStep *step = &m.abi->steps[i];
        const bool init = i < m.abi->init.first + m.abi->init.count;
        const bool linear = strcmp(step->name, "linear") == 0;
        cr_expect_eq(step->by_rows, !init && !linear, "%s", step->name);
        cr_expect_eq(step->few, linear ? 3 : 0, "%s", step->name);
        if (!linear)
            continue;
        cr_expect_eq(step->panels, 5); /* 70 columns by 16 */
        cr_expect_eq(step->panel_bytes, 101 * 16 * (int)sizeof(float));
        cr_expect_eq(m.abi->operands[step->first_operand + step->weight].space, ABI_PARAM);
    }
    model_close(&m);
    arena_free(texts);
}

/* Whatever the number of threads and of rows, each result is made once, with the same bits. */
Test(kernels, threads_divide_a_linear_by_panels_and_rows)
{
    enum { ROWS = 40 };
    const LinearCase c = {101, 70, 16, 3, false, true};
    Arena *texts = arena_new();
    Model m = {0};
    char *text = arena_strdup(texts, linear_text(texts, &c));
    char *part = strstr(text, "tile=3, part=cols");
    memcpy(part, "tile=3, part=grid", strlen("tile=3, part=grid"));
    model_open(&m, text, "native");
    const size_t row = (size_t)c.O * sizeof(float);
    linear_rows(&m, 0, ROWS, 1);
    char *whole = arena_alloc(texts, ROWS * row);
    memcpy(whole, m.out, ROWS * row);
    for (int parts = 1; parts <= MOST_PARTS; parts++)
        for (int rows = 1; rows <= ROWS; rows += 1 + rows / 4) {
            memset(m.slab, 0xff, (size_t)m.abi->entries[0].slab_bytes);
            linear_rows(&m, 0, rows, parts);
            cr_expect(memcmp(m.out, whole, (size_t)rows * row) == 0, "%d rows by %d", rows, parts);
        }
    model_close(&m);
    arena_free(texts);
}
