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

const AbiInput rt_input_info[RT_INPUTS] = {
    [RT_IDS] = {"ids",       ABI_TOKENS},
    [RT_POSITIONS] = {"positions", ABI_TOKENS},
    [RT_PICK] = {"pick",      ABI_PICKED},
};

/* RT_INPUTS: sessions give no such input. */
static RtInput
input_known(const char *name)
{
    int i = 0;
    while (i < RT_INPUTS && strcmp(rt_input_info[i].name, name) != 0)
        i++;
    return (RtInput)i;
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

/* The greatest figure of any entry: of a field of int64_t. */
static int64_t
most_of(const AbiProgram *abi, size_t field)
{
    int64_t most = 0, n = 0;
    for (int i = 0; i < abi->nentries; i++) {
        memcpy(&n, (const char *)&abi->entries[i] + field, sizeof n);
        most = greater(most, n);
    }
    return most;
}

static bool
is_inside(int64_t offset, int64_t bytes)
{
    return offset >= 0 && (offset < bytes || (offset == 0 && bytes == 0));
}

/* slab: bytes. */
static bool
operand_fits(const AbiProgram *abi, int64_t slab, const AbiOperand *o)
{
    switch (o->space) {
    case ABI_SLAB:
        return is_inside(o->offset, slab);
    case ABI_PARAM:
        return is_inside(o->offset, abi->param_bytes);
    case ABI_WEIGHT:
        return o->index >= 0 && o->index < abi->nweights && o->offset >= 0;
    case ABI_STATE:
        return is_inside(o->offset, abi->state_bytes);
    case ABI_INPUT:
        return o->index >= 0 && o->index < abi->ninputs;
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

/* They are parameters. */
static bool
panels_fit(const AbiProgram *abi, const AbiStep *s)
{
    if (s->few == 0)
        return true;
    if (s->weight < 0 || s->weight >= s->operands || s->panels < 1 || s->panel_bytes < 1)
        return false;
    const AbiOperand *o = &abi->operands[s->first_operand + s->weight];
    return o->space == ABI_PARAM && s->panels <= (abi->param_bytes - o->offset) / s->panel_bytes;
}

static ssmc_status
check_steps(const AbiProgram *abi)
{
    const int64_t slab = most_of(abi, offsetof(AbiEntry, slab_bytes));
    for (int i = 0; i < abi->noperands; i++)
        if (!operand_fits(abi, slab, &abi->operands[i]))
            return broken(abi, "an operand lies outside its space", i);
    for (int i = 0; i < abi->nsteps; i++) {
        const AbiStep *s = &abi->steps[i];
        if (!has_kernel(abi, i) || s->first_operand < 0 || s->operands < 0 ||
            s->first_operand > abi->noperands - s->operands)
            return broken(abi, "a step has no kernel or no operands", i);
        if (!panels_fit(abi, s))
            return broken(abi, "panels of a step lie outside its operands", i);
    }
    return SSMC_OK;
}

/* ---- what is launched ---------------------------------------------------------------------- */

/* Blocks of threads along one direction: as many as the largest pass has are possible. */
static bool
extent_fits(const AbiProgram *abi, const AbiExtent *e, int64_t most)
{
    int64_t rows = 1, picked = 1;
    for (int i = 0; i < abi->nentries; i++) {
        rows = greater(rows, abi->entries[i].block);
        picked = greater(picked, abi->entries[i].rows);
    }
    const AbiCall largest = {
        .rows = rows, .picked = picked, .nseg = rows < RT_MOST_SEGMENTS ? rows : RT_MOST_SEGMENTS};
    const int64_t count = greater(rows, picked);
    if (e->of < ABI_ONE || e->of > ABI_SEGMENTS || e->times < 1 || e->each < 1 || e->per < 1 ||
        e->more < 0 || e->more > most)
        return false;
    if (e->per > INT64_MAX / 2 || e->each > INT64_MAX / 2 / count)
        return false;
    return (count * e->each + e->per - 1) / e->per <= INT64_MAX / e->times &&
           abi_blocks(e, &largest) <= most;
}

static bool
cluster_fits(const AbiProgram *abi, const AbiLaunch *l)
{
    enum { MOST_CLUSTER = 8 };
    const AbiCall any = {0};
    if (l->cluster == 0)
        return true;
    return l->cluster > 0 && l->cluster <= MOST_CLUSTER && abi->device == ABI_CUDA &&
           l->grid[0].of == ABI_ONE &&
           (l->across ? l->across : abi_blocks(&l->grid[0], &any)) % l->cluster == 0;
}

/* Another grid where there are more blocks. */
static bool
others_fit(const AbiLaunch *l)
{
    return l->across == 0 || (l->across > 0 && l->down > 0 && l->grid[0].of == ABI_ONE);
}

/* Operands are those of the steps that have the launch, which are checked beside it. */
static bool
map_fits(const AbiMap *m)
{
    enum { ALIGNED = 16, MOST_BOX = 256 };
    const int64_t most = UINT32_MAX;
    if (m->operand < 0 || m->rank < 2 || m->rank > ABI_MAP_RANK || m->offset < 0 ||
        m->offset % ALIGNED != 0 || m->box[0] != ABI_MAP_ROW || m->of < ABI_ONE ||
        m->of > ABI_SEGMENTS)
        return false;
    for (int i = 0; i < m->rank; i++)
        if (m->box[i] < 1 || m->box[i] > MOST_BOX || m->dim[i] < 1 || m->dim[i] > most ||
            (i > 0 && (m->stride[i] < ALIGNED || m->stride[i] % ALIGNED != 0)))
            return false;
    return true;
}

static bool
maps_fit(const AbiProgram *abi, const AbiLaunch *l)
{
    if (l->maps < 0 || l->maps > ABI_MOST_MAPS || (l->maps > 0 && abi->device != ABI_CUDA))
        return false;
    for (int i = 0; i < l->maps; i++)
        if (!map_fits(&l->map[i]))
            return false;
    return true;
}

static bool
maps_have_operands(const AbiProgram *abi, const AbiStep *s)
{
    const AbiLaunch *l = s->run ? NULL : &abi->launches[s->launch];
    for (int i = 0; l && i < l->maps; i++)
        if (l->map[i].operand >= s->operands)
            return false;
    return true;
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
        if (!others_fit(l))
            return broken(abi, "a launch has an impossible grid of more rows", i);
        if (l->threads < 1 || l->threads > MOST_THREADS || l->shared_bytes < 0 ||
            l->shared_spare < 0 || l->shared_spare > l->shared_bytes ||
            (l->waits != 0 && l->waits != 1))
            return broken(abi, "a launch has impossible blocks", i);
        if (!cluster_fits(abi, l))
            return broken(abi, "a launch has an impossible cluster", i);
        if (!maps_fit(abi, l))
            return broken(abi, "a launch has an impossible map", i);
    }
    for (int i = 0; i < abi->nsteps; i++)
        if (!maps_have_operands(abi, &abi->steps[i]))
            return broken(abi, "a step has a map of no operand of its own", i);
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
check_entry(const AbiProgram *abi, int which)
{
    const AbiEntry *e = &abi->entries[which];
    if (!e->name || !range_fits(abi, e->layers) || !range_fits(abi, e->head) ||
        !range_fits(abi, e->choose))
        return broken(abi, "an entry has no name, or steps that are not there", which);
    if (e->block < 1 || e->block > INT32_MAX)
        return broken(abi, "an entry has an impossible block", e->block);
    if (e->rows < 1 || e->rows > INT32_MAX)
        return broken(abi, "an entry has an impossible number of picked rows", e->rows);
    if (e->tokens < 0 || e->tokens > e->block)
        return broken(abi, "an entry takes more tokens of a sequence than of all", e->tokens);
    if (e->slab_bytes < 0 || e->scratch_bytes < 0)
        return broken(abi, "an entry needs less than no memory", which);
    if (e->grain < 0 || e->grain > e->block)
        return broken(abi, "an entry has an impossible grain", e->grain);
    return SSMC_OK;
}

static ssmc_status
check_entries(const AbiProgram *abi)
{
    if (abi->nentries < 1 || abi->nentries > RT_MOST_ENTRIES)
        return broken(abi, "it has no entries, or too many", abi->nentries);
    for (int i = 0; i < abi->nentries; i++) {
        const ssmc_status status = check_entry(abi, i);
        if (status != SSMC_OK)
            return status;
    }
    if (!range_fits(abi, abi->init) || abi->init_scratch_bytes < 0)
        return broken(abi, "its first steps are not there", abi->init.first);
    return SSMC_OK;
}

/* What sessions give. */
static ssmc_status
check_inputs(const AbiProgram *abi)
{
    for (int i = 0; i < abi->ninputs; i++) {
        const AbiInput *in = &abi->inputs[i];
        if (!in->name)
            return broken(abi, "an input has no name", i);
        for (int k = 0; k < i; k++)
            if (strcmp(abi->inputs[k].name, in->name) == 0)
                return broken(abi, "two inputs have one name", i);
        const RtInput known = input_known(in->name);
        if (known == RT_INPUTS || rt_input_info[known].rows != in->rows)
            return rt_fail(SSMC_UNSUPPORTED,
                           "program '%s' reads an input '%s', which this runtime does not give",
                           rt_quote(abi->name ? abi->name : "").text, rt_quote(in->name).text);
    }
    return SSMC_OK;
}

static bool
output_fits(const AbiProgram *abi, const AbiOutput *o)
{
    const bool tokens = o->rows == ABI_TOKENS;
    const int64_t rows =
        most_of(abi, tokens ? offsetof(AbiEntry, block) : offsetof(AbiEntry, rows));
    const size_t size = (size_t)rt_abi_bits(o->dtype) / 8;
    size_t end = 0;
    return o->name && size > 0 && (tokens || o->rows == ABI_PICKED) && o->width > 0 &&
           o->width <= INT32_MAX && o->stride >= o->width && o->offset >= 0 &&
           o->offset % (int64_t)size == 0 && rt_mul((size_t)rows - 1, (size_t)o->stride, &end) &&
           rt_add(end, (size_t)o->width, &end) && rt_mul(end, size, &end) &&
           rt_add(end, (size_t)o->offset, &end) && end <= (size_t)abi->output_bytes;
}

/* Int32 ids of the likeliest of each picked row. */
static bool
is_ids(const AbiOutput *o)
{
    return o->candidates == 1 && o->dtype == ABI_I32 && o->rows == ABI_PICKED && o->width == 1 &&
           o->stride == 1;
}

/* Lists of candidates are f32 [R,2k], of fewer than all words, and each entry has a step for each.
 */
static ssmc_status
check_lists(const AbiProgram *abi)
{
    const AbiOutput *logits = abi_logits(abi);
    int lists = 0;
    for (int i = 0; i < abi->noutputs; i++) {
        const AbiOutput *o = &abi->outputs[i];
        if (o->candidates == 0 || is_ids(o))
            continue;
        if (o->candidates < 0 || o->candidates >= logits->width || o->dtype != ABI_F32 ||
            o->rows != ABI_PICKED || o->width != 2 * o->candidates || ++lists > RT_MOST_LISTS)
            return broken(abi, "an output is no list of candidates", i);
    }
    for (int i = 0; i < abi->nentries; i++)
        if (abi->entries[i].choose.count != lists)
            return broken(abi, "an entry has not a step for each list of candidates", i);
    return SSMC_OK;
}

/* A session gives logits, and needs no other output. */
static ssmc_status
check_outputs(const AbiProgram *abi)
{
    if (!abi->numerics || strlen(abi->numerics) >= RT_NUMERICS)
        return broken(abi, "its numerics have no name, or a long one", abi->numerics != NULL);
    if (abi->param_bytes < 0 || abi->state_bytes < 0 || abi->output_bytes < 0)
        return broken(abi, "states, outputs or parameters of less than no memory",
                      abi->state_bytes);
    for (int i = 0; i < abi->noutputs; i++)
        if (!output_fits(abi, &abi->outputs[i]))
            return broken(abi, "an output lies outside the outputs", i);
    if (abi_logits(abi))
        return check_lists(abi);
    return rt_fail(SSMC_UNSUPPORTED,
                   "program '%s' gives no logits: none of its outputs has a row of f32 for each "
                   "picked token",
                   rt_quote(abi->name ? abi->name : "").text);
}

static ssmc_status
check(const AbiProgram *abi)
{
    ssmc_status (*const checks[])(const AbiProgram *) = {
        check_entries, check_inputs, check_outputs, check_device, check_steps, check_tensors};
    ssmc_status status = SSMC_OK;
    for (size_t i = 0; i < RT_COUNT(checks) && status == SSMC_OK; i++)
        status = checks[i](abi);
    return status;
}

/* ---- entries ------------------------------------------------------------------------------- */

static int64_t
tokens_of(const AbiEntry *e)
{
    return e->tokens ? e->tokens : INT64_MAX;
}

const AbiEntry *
rt_program_entry(const AbiProgram *abi, int64_t tokens)
{
    const AbiEntry *best = NULL;
    for (int i = 0; i < abi->nentries; i++) {
        const AbiEntry *e = &abi->entries[i];
        if (tokens_of(e) >= tokens && (!best || tokens_of(e) < tokens_of(best)))
            best = e;
    }
    return best;
}

static const AbiEntry *
longest_of(const AbiProgram *abi)
{
    const AbiEntry *longest = abi->entries;
    for (int i = 1; i < abi->nentries; i++)
        if (tokens_of(&abi->entries[i]) > tokens_of(longest))
            longest = &abi->entries[i];
    return longest;
}

int64_t
rt_program_piece(const ssmc_program *program)
{
    const AbiEntry *e = program->longest;
    return e->tokens ? e->tokens : e->block;
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
    for (int i = 0; i < abi->nentries; i++)
        if (range_reads(abi, abi->entries[i].layers, weight) ||
            range_reads(abi, abi->entries[i].head, weight))
            return true;
    return false;
}

/* reads: which weights are kept; NULL: the steps say it. */
static bool
measure(ssmc_program *p, const bool *reads)
{
    const AbiProgram *abi = p->abi;
    const size_t slab = (size_t)most_of(abi, offsetof(AbiEntry, slab_bytes));
    const size_t scratch = (size_t)most_of(abi, offsetof(AbiEntry, scratch_bytes));
    p->block = most_of(abi, offsetof(AbiEntry, block));
    p->rows = most_of(abi, offsetof(AbiEntry, rows));
    for (int i = 0; i < abi->nstates; i++)
        if (!rt_add(p->row_bytes, (size_t)abi->states[i].row_bytes, &p->row_bytes))
            return false;
    for (int i = 0; i < abi->nweights; i++) {
        const AbiWeight *w = &abi->weights[i];
        size_t bytes;
        if (!rt_tensor_bytes(rt_abi_bits(w->dtype), w->dim, w->rank, &bytes) ||
            !rt_add(p->weight_bytes, bytes, &p->weight_bytes))
            return false;
        if (reads ? reads[i] : rt_program_keeps(p, i))
            p->kept_bytes += bytes; /* no more than weight_bytes */
    }
    return rt_round_up((size_t)abi->state_bytes, RT_LINE, &p->state_stride) &&
           rt_round_up(slab, RT_LINE, &p->slab_bytes) &&
           rt_round_up(scratch, RT_LINE, &p->scratch_stride) &&
           rt_round_up((size_t)abi->init_scratch_bytes, RT_LINE, &p->init_stride);
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
    p->longest = longest_of(abi);
    p->logits = abi_logits(abi);
    for (int i = 0; i < abi->noutputs; i++)
        if (is_ids(&abi->outputs[i]))
            p->ids = &abi->outputs[i];
        else if (abi->outputs[i].candidates > 0)
            p->list[p->nlists++] = &abi->outputs[i];
    p->one = p->nlists - 1;
    while (p->one >= 0 && p->list[p->one]->candidates > 1)
        p->one--;
    for (int i = 0; i < abi->ninputs; i++)
        p->input[i] = input_known(abi->inputs[i].name);
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
    return abi_cuts_anywhere(program->abi);
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
    /* What makes parameters is gone before a session comes. */
    size_t peak = session, making = 0;
    if (!rt_mul((size_t)threads, program->init_stride, &making))
        return m;
    peak = making > peak ? making : peak;
    if (rt_add(m.kept, m.params, &total) && rt_add(total, peak, &total))
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
