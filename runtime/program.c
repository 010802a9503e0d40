/* runtime/program.c -- a compiled program: checked once, so that running it needs no checks, and
 * its figures. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"

/* A program comes from our own compiler, but perhaps from a file of another version. */
static ssmc_status
broken(const AbiProgram *abi, const char *what, int64_t which)
{
    return rt_fail(SSMC_BAD_FILE, "program '%s' is broken: %s (%" PRId64 ")",
                   rt_quote(abi->name ? abi->name : "").text, what, which);
}

/* ---- checks -------------------------------------------------------------------------------- */

static bool
range_fits(const AbiProgram *abi, AbiRange range)
{
    return range.first >= 0 && range.count >= 0 && range.first <= abi->nsteps - range.count;
}

static int64_t
greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool
is_inside(int64_t offset, int64_t bytes)
{
    return offset >= 0 && (offset < bytes || (offset == 0 && bytes == 0));
}

static bool
operand_fits(const AbiProgram *abi, const AbiOperand *o)
{
    const AbiPhase *p = abi->phase;
    switch (o->space) {
    case ABI_SLAB:
        return is_inside(o->offset, greater(p[ABI_PREFILL].slab_bytes, p[ABI_DECODE].slab_bytes));
    case ABI_PARAM:
        return is_inside(o->offset, abi->param_bytes);
    case ABI_WEIGHT:
        return o->index >= 0 && o->index < abi->nweights && o->offset >= 0;
    case ABI_STATE:
        return is_inside(o->offset, abi->state_bytes);
    case ABI_INPUT:
        return o->index >= 0 && o->index < ABI_INPUTS;
    case ABI_OUTPUT:
        return is_inside(o->offset, abi->output_bytes);
    case ABI_KEPT:
        return o->index >= 0 && o->index < abi->nstates && abi->states[o->index].row_bytes > 0;
    }
    return false;
}

static bool
is_within(AbiRange range, int step)
{
    return step >= range.first && step < range.first + range.count;
}

/* Steps of init are the CPU's, whatever the device is; others are the device's. */
static bool
has_kernel(const AbiProgram *abi, int step)
{
    const AbiStep *s = &abi->steps[step];
    if (abi->device == ABI_CPU || is_within(abi->init, step))
        return s->run != NULL;
    return !s->run && s->launch >= 0 && s->launch < abi->nlaunches;
}

static ssmc_status
check_steps(const AbiProgram *abi)
{
    for (int i = 0; i < abi->noperands; i++)
        if (!operand_fits(abi, &abi->operands[i]))
            return broken(abi, "an operand lies outside its space", i);
    for (int i = 0; i < abi->nsteps; i++) {
        const AbiStep *s = &abi->steps[i];
        if (!has_kernel(abi, i) || s->first_operand < 0 || s->operands < 0 ||
            s->first_operand > abi->noperands - s->operands)
            return broken(abi, "a step has no kernel or no operands", i);
    }
    return SSMC_OK;
}

/* ---- what is launched ---------------------------------------------------------------------- */

/* Blocks of threads along one direction: as many as the largest pass has are possible. */
static bool
extent_fits(const AbiProgram *abi, const AbiExtent *e, int64_t most)
{
    const int64_t rows = greater(abi->phase[ABI_PREFILL].block, abi->phase[ABI_DECODE].block);
    const AbiCall largest = {.rows = rows, .picked = abi->head_rows, .nseg = rows};
    const int64_t count = greater(rows, abi->head_rows);
    if (e->of < ABI_ONE || e->of > ABI_SEGMENTS || e->times < 1 || e->each < 1 || e->per < 1)
        return false;
    if (e->per > INT64_MAX / 2 || e->each > INT64_MAX / 2 / count)
        return false;
    return (count * e->each + e->per - 1) / e->per <= INT64_MAX / e->times &&
           abi_blocks(e, &largest) <= most;
}

static ssmc_status
check_launches(const AbiProgram *abi)
{
    enum { MOST_THREADS = 1024, MOST_X = INT32_MAX, MOST_YZ = 65535 };
    for (int i = 0; i < abi->nlaunches; i++) {
        const AbiLaunch *l = &abi->launches[i];
        if (!l->symbol || !*l->symbol)
            return broken(abi, "a launch has no kernel", i);
        for (int d = 0; d < 3; d++)
            if (!extent_fits(abi, &l->grid[d], d == 0 ? MOST_X : MOST_YZ))
                return broken(abi, "a launch has an impossible grid", i);
        if (l->threads < 1 || l->threads > MOST_THREADS || l->shared_bytes < 0)
            return broken(abi, "a launch has impossible blocks", i);
    }
    return SSMC_OK;
}

static ssmc_status
check_device(const AbiProgram *abi)
{
    if (abi->device < 0 || abi->device >= ABI_DEVICE_COUNT)
        return broken(abi, "an unknown device", abi->device);
    if (abi->device == ABI_CPU)
        return SSMC_OK;
    if (!abi->target || !*abi->target)
        return broken(abi, "its device has no name", abi->device);
    if (!abi->image || abi->image_bytes < 1 || abi->image[abi->image_bytes] != '\0' ||
        strlen(abi->image) != (size_t)abi->image_bytes)
        return broken(abi, "its device's code is no text", abi->image_bytes);
    if (abi->calls_blas)
        return broken(abi, "its device calls OpenBLAS", abi->device);
    return check_launches(abi);
}

/* A row is what is left of the state's shape without its first dimension. */
static ssmc_status
check_growing(const AbiProgram *abi, int which)
{
    const AbiState *s = &abi->states[which];
    size_t bytes = 0;
    if (s->window < 0 || s->window > INT32_MAX)
        return broken(abi, "a growing state has an impossible window", s->window);
    if (s->rank < 1 || s->rank > ABI_MAX_RANK || s->dim[0] != 0 || s->row_bytes < 1 ||
        !rt_tensor_bytes(rt_abi_bits(s->dtype), s->dim + 1, s->rank - 1, &bytes) ||
        bytes != (size_t)s->row_bytes)
        return broken(abi, "a growing state's rows are not those of its shape", which);
    return SSMC_OK;
}

static ssmc_status
check_tensors(const AbiProgram *abi)
{
    for (int i = 0; i < abi->nweights; i++) {
        const AbiWeight *w = &abi->weights[i];
        if (!w->tensor || w->rank < 0 || w->rank > ABI_MAX_RANK)
            return broken(abi, "a weight has no name or a wrong rank", i);
    }
    for (int i = 0; i < abi->nstates; i++) {
        const AbiState *s = &abi->states[i];
        if (s->row_bytes != 0 || s->window != 0) {
            const ssmc_status status = check_growing(abi, i);
            if (status != SSMC_OK)
                return status;
        }
        if (!s->name || s->offset < 0 || s->bytes < 0 || s->offset > abi->state_bytes - s->bytes)
            return broken(abi, "a state lies outside the states", i);
        size_t bytes;
        if (s->rank < 0 || s->rank > ABI_MAX_RANK ||
            !rt_tensor_bytes(rt_abi_bits(s->dtype), s->dim, s->rank, &bytes) ||
            bytes != (size_t)s->bytes)
            return broken(abi, "a state's size is not that of its shape", i);
    }
    return SSMC_OK;
}

static ssmc_status
check_phase(const AbiProgram *abi, AbiPhaseId id)
{
    const AbiPhase *p = &abi->phase[id];
    if (!range_fits(abi, p->layers) || !range_fits(abi, p->head))
        return broken(abi, "a phase has steps that are not there", id);
    /* A program without a decode phase decodes by its prefill phase. */
    if (p->block < (id == ABI_PREFILL ? 1 : 0) || p->block > INT32_MAX)
        return broken(abi, "a phase has an impossible block", p->block);
    if (p->slab_bytes < 0 || p->scratch_bytes < 0)
        return broken(abi, "a phase needs less than no memory", id);
    if (p->grain < 0 || p->grain > p->block)
        return broken(abi, "a phase has an impossible grain", p->grain);
    return SSMC_OK;
}

static ssmc_status
check_output(const AbiProgram *abi)
{
    size_t bytes = 0;
    if (!abi->numerics || strlen(abi->numerics) >= RT_NUMERICS)
        return broken(abi, "its numerics have no name, or a long one", abi->numerics != NULL);
    if (abi->vocab < 1 || abi->vocab > INT32_MAX)
        return broken(abi, "an impossible vocabulary", abi->vocab);
    if (abi->head_rows < 1 || abi->head_rows > INT32_MAX)
        return broken(abi, "an impossible number of head rows", abi->head_rows);
    if (!rt_mul((size_t)abi->head_rows * sizeof(float), (size_t)abi->vocab, &bytes) ||
        abi->output_bytes < 0 || bytes > (size_t)abi->output_bytes)
        return broken(abi, "the output has no room for the logits", abi->output_bytes);
    if (abi->param_bytes < 0 || abi->state_bytes < 0)
        return broken(abi, "states or parameters of less than no memory", abi->state_bytes);
    return SSMC_OK;
}

static ssmc_status
check(const AbiProgram *abi)
{
    ssmc_status status = check_output(abi);
    for (int id = 0; id < ABI_PHASES && status == SSMC_OK; id++)
        status = check_phase(abi, (AbiPhaseId)id);
    if (status == SSMC_OK && !range_fits(abi, abi->init))
        status = broken(abi, "its first steps are not there", abi->init.first);
    if (status == SSMC_OK)
        status = check_device(abi);
    if (status == SSMC_OK)
        status = check_steps(abi);
    return status == SSMC_OK ? check_tensors(abi) : status;
}

/* ---- figures ------------------------------------------------------------------------------- */

static bool
range_reads(const AbiProgram *abi, AbiRange range, int weight)
{
    for (int s = range.first; s < range.first + range.count; s++)
        for (int i = 0; i < abi->steps[s].operands; i++) {
            const AbiOperand *o = &abi->operands[abi->steps[s].first_operand + i];
            if (o->space == ABI_WEIGHT && o->index == weight)
                return true;
        }
    return false;
}

bool
rt_program_keeps(const ssmc_program *program, int weight)
{
    const AbiProgram *abi = program->abi;
    for (int id = 0; id < ABI_PHASES; id++)
        if (range_reads(abi, abi->phase[id].layers, weight) ||
            range_reads(abi, abi->phase[id].head, weight))
            return true;
    return false;
}

/* reads: which weights are kept; NULL: the steps say it. */
static bool
measure(ssmc_program *p, const bool *reads)
{
    const AbiPhase *a = &p->abi->phase[ABI_PREFILL], *b = &p->abi->phase[ABI_DECODE];
    p->block = greater(a->block, b->block);
    for (int i = 0; i < p->abi->nstates; i++)
        if (!rt_add(p->row_bytes, (size_t)p->abi->states[i].row_bytes, &p->row_bytes))
            return false;
    for (int i = 0; i < p->abi->nweights; i++) {
        const AbiWeight *w = &p->abi->weights[i];
        size_t bytes;
        if (!rt_tensor_bytes(rt_abi_bits(w->dtype), w->dim, w->rank, &bytes) ||
            !rt_add(p->weight_bytes, bytes, &p->weight_bytes))
            return false;
        if (reads ? reads[i] : rt_program_keeps(p, i))
            p->kept_bytes += bytes; /* no more than weight_bytes */
    }
    return rt_round_up((size_t)p->abi->state_bytes, RT_LINE, &p->state_stride) &&
           rt_round_up((size_t)greater(a->slab_bytes, b->slab_bytes), RT_LINE, &p->slab_bytes) &&
           rt_round_up((size_t)greater(a->scratch_bytes, b->scratch_bytes), RT_LINE,
                       &p->scratch_stride);
}

ssmc_status
rt_program_wrap(const AbiProgram *abi, ssmc_program **out)
{
    *out = NULL;
    const ssmc_status status = check(abi);
    if (status != SSMC_OK)
        return status;
    ssmc_program *p = calloc(1, sizeof *p);
    if (!p)
        return rt_fail_memory(sizeof *p, "a program");
    p->abi = abi;
    if (!measure(p, NULL)) {
        free(p);
        return broken(abi, "its sizes overflow", abi->state_bytes);
    }
    *out = p;
    return SSMC_OK;
}

void
rt_program_free(ssmc_program *program)
{
    free(program);
}

bool
rt_program_is_exact(const ssmc_program *program)
{
    return program->abi->phase[ABI_PREFILL].grain == 1;
}

const AbiProgram *
rt_program_abi(const ssmc_program *program)
{
    return program->abi;
}

/* room: tokens of a sequence that is full. */
static ssmc_memory
memory_of(const ssmc_program *program, int sequences, int threads, int64_t room)
{
    ssmc_memory m = {.weights = program->weight_bytes,
                     .kept = program->kept_bytes,
                     .params = (size_t)program->abi->param_bytes,
                     .state = program->state_stride,
                     .scratch = SIZE_MAX,
                     .total = SIZE_MAX,
                     .block = program->block,
                     .token = program->row_bytes,
                     .full = rt_kept_full(program, room)};
    RtLayout layout;
    size_t total = 0, session = 0;
    const bool apart = rt_device(program->abi->device)->apart;
    if (sequences < 1 || !rt_threads_resolve(&threads) ||
        !rt_session_layout(program, sequences, rt_session_threads(program, threads), &layout))
        return m;
    /* What a device and the host tell each other is in the memory of both. */
    if (!rt_add(layout.total, apart ? layout.own - layout.output : 0, &session))
        return m;
    m.scratch = session - (size_t)sequences * program->state_stride;
    if (rt_add(m.kept, m.params, &total) && rt_add(total, session, &total))
        m.total = total;
    if (apart && m.total < SIZE_MAX)
        m.device = m.kept + m.params + layout.own;
    return m;
}

ssmc_memory
ssmc_program_memory(const ssmc_program *program, int sequences, int threads)
{
    if (!program)
        return (ssmc_memory){.scratch = SIZE_MAX, .total = SIZE_MAX};
    return memory_of(program, sequences, threads, SSMC_ROOM);
}

ssmc_memory
rt_figures_memory(const AbiProgram *abi, const bool *reads, int sequences, int threads,
                  int64_t room)
{
    ssmc_program figures = {.abi = abi};
    if (!measure(&figures, reads))
        return (ssmc_memory){.total = SIZE_MAX};
    return memory_of(&figures, sequences, threads, room);
}
