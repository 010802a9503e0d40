/* runtime/session.c -- the life of a session: its memory, wired to a program; looking inside. */
#include "runtime/session.h"
#include "runtime/float_mode.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------- */

/* Appends count items of `size` bytes. */
static bool
place(RtLayout *l, size_t *at, size_t count, size_t size)
{
    size_t bytes = 0;
    *at = l->total;
    return rt_mul(count, size, &bytes) && rt_round_up(bytes, RT_LINE, &bytes) &&
           rt_add(l->total, bytes, &l->total);
}

static int64_t
lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool
place_told(RtLayout *l, const ssmc_program *p, int entry, int sequences, RtTold *told)
{
    const AbiEntry *e = &p->abi->entries[entry];
    const bool few = e->tokens > 0 && e->tokens <= e->block / sequences;
    const int64_t rows = few ? e->tokens * sequences : e->block;
    bool fits = true;
    for (int i = 0; i < RT_INPUTS; i++) {
        const int64_t most = rt_input_info[i].rows == ABI_TOKENS ? rows : lesser(rows, e->rows);
        fits = fits && place(l, &told->input[i], (size_t)most, sizeof(int32_t));
    }
    return fits && place(l, &told->seg, (size_t)lesser(rows, sequences), sizeof(AbiSeg));
}

int
rt_session_step_entry(const ssmc_program *program)
{
    return (int)(rt_program_entry(program->abi, 1) - program->abi->entries);
}

/* What a pass in slot 1 is told and gives. */
static bool
place_ahead(RtLayout *l, const ssmc_program *p, int sequences)
{
    const int step = rt_session_step_entry(p);
    const size_t rows = (size_t)lesser(sequences, p->abi->entries[step].rows);
    return place_told(l, p, step, sequences, &l->ahead) &&
           place(l, &l->given, rows, 2 * sizeof(float));
}

/* Rows of the first of two halves; 0: a pass of so many is not halved. Whole lines, so that the
 * second half of what has a number for each row begins at one, too. */
static int64_t
half_of(const ssmc_program *p, int64_t rows)
{
    enum { NUMBERS = 64 / sizeof(int32_t) };
    const int least = rt_device(p->abi->device)->halves;
    return least && rows >= least ? ((rows + 1) / 2 + NUMBERS - 1) / NUMBERS * NUMBERS : 0;
}

/* Two halves need the slab of a pass of single tokens twice. */
static bool
place_slab(RtLayout *l, const ssmc_program *p, int sequences)
{
    const AbiEntry *step = &p->abi->entries[rt_session_step_entry(p)];
    const bool halves = half_of(p, lesser(sequences, step->rows)) > 0;
    size_t one = 0, both = 0;
    if (!rt_round_up((size_t)step->slab_bytes, RT_LINE, &one) || !rt_mul(one, 2, &both))
        return false;
    const size_t bytes = halves && both > p->slab_bytes ? both : p->slab_bytes;
    const bool fits = place(l, &l->slab, 1, bytes);
    l->beside = fits && halves ? l->slab + one : l->slab;
    return fits;
}

bool
rt_session_layout(const ssmc_program *program, int sequences, int threads, RtLayout *out)
{
    const AbiProgram *abi = program->abi;
    const size_t tables = (size_t)abi->nentries + 1;
    RtLayout l = {0};
    bool seen = place(&l, &l.states, (size_t)sequences, program->state_stride) &&
                place_slab(&l, program, sequences) &&
                place(&l, &l.output, 1, (size_t)abi->output_bytes);
    for (int i = 0; i < abi->nentries; i++)
        seen = seen && place_told(&l, program, i, sequences, &l.told[i]);
    if (rt_device(abi->device)->apart)
        seen = seen && place_ahead(&l, program, sequences);
    const bool fits = seen && place(&l, &l.own, 0, 0) &&
                      place(&l, &l.scratch, (size_t)threads, program->scratch_stride) &&
                      place(&l, &l.parts, 2 * (size_t)threads, sizeof(RtParts)) &&
                      place(&l, &l.pick, (size_t)program->rows, sizeof(RtPick)) &&
                      place(&l, &l.owner, (size_t)program->block, sizeof(int32_t)) &&
                      place(&l, &l.sequences, (size_t)sequences, sizeof(RtSequence)) &&
                      place(&l, &l.inputs, (size_t)sequences, sizeof(ssmc_input)) &&
                      place(&l, &l.at, (size_t)sequences, sizeof(int64_t)) &&
                      place(&l, &l.operands, tables * (size_t)abi->noperands, sizeof(void *)) &&
                      place(&l, &l.kept_at, (size_t)abi->nstates, sizeof(size_t)) &&
                      place(&l, &l.seconds, (size_t)abi->nsteps, sizeof(double));
    *out = l;
    return fits && l.total <= INT64_MAX;
}

int
rt_session_threads(const ssmc_program *program, int threads)
{
    return rt_device(program->abi->device)->apart ? 1 : threads;
}

/* The pieces of memory, and where in them an offset of the layout is. */
static ssmc_status
take_memory(ssmc_session *s)
{
    const RtLayout *l = &s->layout;
    RtImage *image = s->model->image;
    const size_t own = s->device->apart ? l->own : 0;
    s->here = rt_pages_new(l->total - own);
    if (!s->here)
        return rt_fail_memory(l->total - own, "a session");
    if (!s->device->apart)
        return SSMC_OK;
    s->looked = rt_pages_new(s->model->program->state_stride);
    if (!s->looked)
        return rt_fail_memory(s->model->program->state_stride, "a session");
    const ssmc_status status = s->device->alloc(image, l->own, "a session", &s->there);
    return status == SSMC_OK ? s->device->lock(image, l->own - l->output, "a session", &s->told)
                             : status;
}

static char *
at_there(const ssmc_session *s, size_t offset)
{
    return (s->device->apart ? s->there : s->here) + offset;
}

/* Of what the host and the kernels tell each other: the host's. */
static char *
at_told(const ssmc_session *s, size_t offset)
{
    return s->device->apart ? s->told + (offset - s->layout.output) : s->here + offset;
}

static char *
at_here(const ssmc_session *s, size_t offset)
{
    return s->here + (offset - (s->device->apart ? s->layout.own : 0));
}

/* Pointers into the memory. */
static void
session_wire(ssmc_session *s)
{
    const RtLayout *l = &s->layout;
    s->states = at_there(s, l->states);
    s->owner = (int32_t *)at_here(s, l->owner);
    s->pick = (RtPick *)at_here(s, l->pick);
    s->sequence = (RtSequence *)at_here(s, l->sequences);
    s->inputs = (ssmc_input *)at_here(s, l->inputs);
    s->at = (int64_t *)at_here(s, l->at);
    s->kept_at = (size_t *)at_here(s, l->kept_at);
}

static void **
operands_of(const ssmc_session *s, int entry)
{
    return (void **)at_here(s, s->layout.operands) + entry * s->model->program->abi->noperands;
}

void
rt_session_tell(ssmc_session *s, int entry, int slot)
{
    const RtTold *there = &s->layout.told[entry], *here = slot ? &s->layout.ahead : there;
    for (int i = 0; i < RT_INPUTS; i++)
        s->input[i] = (int32_t *)at_told(s, here->input[i]);
    s->seg = (AbiSeg *)at_told(s, here->seg);
    s->call.seg = (const AbiSeg *)at_there(s, there->seg);
    s->run.operand = operands_of(s, entry);
    s->run.told = (RtCopy){at_there(s, there->input[0]), at_told(s, here->input[0]),
                           here->seg - here->input[0]};
    s->run.fed = (RtCopy){0};
    s->run.call = &s->call;
    s->run.beside = (RtRows){0};
}

/* Operands of steps of an entry, whose inputs are its own, to addresses: from a row on, and with a
 * slab. */
static void
resolve(const ssmc_session *s, int entry, int64_t row, size_t slab, void **operand)
{
    const ssmc_program *p = s->model->program;
    const RtLayout *l = &s->layout;
    char *input[RT_INPUTS] = {NULL};
    for (int i = 0; i < p->abi->ninputs; i++)
        input[i] = at_there(s, l->told[entry].input[p->input[i]]);
    const RtSpaces spaces = {.slab = at_there(s, slab),
                             .there = s->model->there,
                             .states = s->states,
                             .kept = s->kept,
                             .kept_at = s->kept_at,
                             .output = at_there(s, l->output),
                             .input = input,
                             .row = row};
    rt_operands_resolve(p->abi, &spaces, operand);
}

/* Rows from `first` on become those of a second half, which counts them from its own first. */
static void
tell_half(ssmc_session *s, int64_t first)
{
    for (int64_t i = first; i < s->call.nseg; i++) {
        s->seg[i].row -= first;
        s->input[RT_PICK][i] -= (int32_t)first;
    }
    s->half[0] = s->half[1] = s->call;
    s->half[0].rows = s->half[0].picked = s->half[0].nseg = first;
    s->half[1].rows = s->half[1].picked = s->half[1].nseg = s->call.rows - first;
    s->half[1].seg += first;
}

void
rt_session_halve(ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    const int64_t first = half_of(p, s->call.rows);
    void **operand = operands_of(s, p->abi->nentries);
    const bool all = s->call.nseg == s->call.rows && s->call.picked == s->call.rows;
    if (first == 0 || !all || s->run.seconds || s->run.lanes)
        return;
    if (s->halved != first)
        resolve(s, rt_session_step_entry(p), first, s->layout.beside, operand);
    s->halved = first;
    tell_half(s, first);
    s->run.call = &s->half[0];
    s->run.beside = (RtRows){operand, &s->half[1]};
}

/* The operands of each entry, and what runs over them. */
static void
session_resolve(ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    const RtLayout *l = &s->layout;
    for (int e = 0; e < p->abi->nentries; e++)
        resolve(s, e, 0, l->slab, operands_of(s, e));
    s->call = (AbiCall){.state_stride = (int64_t)p->state_stride,
                        .kept_stride = (int64_t)s->kept_stride,
                        .room = s->kept ? s->room : 0,
                        .block = rt_kept_block(p),
                        .sgemm = s->model->sgemm};
    s->run = (RtRun){
        .abi = p->abi,
        .call = &s->call,
        .scratch = at_here(s, l->scratch),
        .scratch_stride = p->scratch_stride,
        .parts = (RtParts *)at_here(s, l->parts),
        .pool = s->pool,
    };
}

RtCopy
rt_session_given(const ssmc_session *s, int rows, int slot)
{
    const ssmc_program *p = s->model->program;
    RtCopy list = rt_session_output(s, p->list[p->one], rows);
    if (slot)
        list.here = at_told(s, s->layout.given);
    return list;
}

RtCopy
rt_session_output(const ssmc_session *s, const AbiOutput *o, int64_t rows)
{
    const size_t at = s->layout.output + (size_t)o->offset;
    const int64_t numbers = rows ? (rows - 1) * o->stride + o->width : 0;
    return (RtCopy){at_there(s, at), at_told(s, at), (size_t)numbers * sizeof(float)};
}

static ssmc_status
session_fill(ssmc_session *s, int threads)
{
    const ssmc_program *program = s->model->program;
    ssmc_status status = rt_pool_open(rt_session_threads(program, threads), &s->pool);
    if (status != SSMC_OK)
        return status;
    threads = rt_pool_threads(s->pool);
    if (!rt_session_layout(program, s->sequences, threads, &s->layout))
        return rt_fail(SSMC_NO_MEMORY, "%d sequences are more than memory can hold", s->sequences);
    status = s->device->begin(s->model->image, &s->queue);
    if (status == SSMC_OK)
        status = take_memory(s);
    if (status != SSMC_OK)
        return status;
    session_wire(s);
    status = rt_kept_open(s);
    if (status != SSMC_OK)
        return status;
    session_resolve(s);
    return s->model->sgemm ? rt_blas_room(threads) : SSMC_OK;
}

ssmc_status
ssmc_session_open(const ssmc_model *model, int sequences, int threads, ssmc_session **out)
{
    return ssmc_session_open_for(model, sequences, threads, SSMC_ROOM, out);
}

ssmc_status
ssmc_session_open_for(const ssmc_model *model, int sequences, int threads, int64_t room,
                      ssmc_session **out)
{
    if (!model || !out)
        return rt_fail_null(model ? "place for the session" : "model");
    *out = NULL;
    if (sequences < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "a session of %d sequences; at least 1 is possible",
                       sequences);
    if (room < 1 || room > RT_MOST_ROOM)
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "room for %" PRId64 " tokens of a sequence; 1 to %" PRId64 " are possible",
                       room, RT_MOST_ROOM);
    ssmc_session *s = calloc(1, sizeof *s);
    if (!s)
        return rt_fail_memory(sizeof *s, "a session");
    s->model = model;
    s->device = model->device;
    s->sequences = sequences;
    s->room = (room + ABI_ROOM_STEP - 1) / ABI_ROOM_STEP * ABI_ROOM_STEP;
    const ssmc_status status = session_fill(s, threads);
    if (status == SSMC_OK)
        *out = s;
    else
        ssmc_session_close(s);
    return status;
}

void
ssmc_session_close(ssmc_session *s)
{
    if (!s)
        return;
    const RtLayout *l = &s->layout;
    const bool apart = s->device->apart;
    rt_pool_close(s->pool);
    if (s->kept)
        s->device->release(s->queue, s->kept, s->kept_bytes);
    s->device->end(s->queue);
    if (s->there)
        s->device->free(s->model->image, s->there, l->own);
    if (s->told)
        s->device->unlock(s->model->image, s->told, l->own - l->output);
    rt_pages_free(s->here, l->total - (apart ? l->own : 0));
    rt_pages_free(s->looked, s->model->program->state_stride);
    free(s);
}

void
ssmc_session_on_progress(ssmc_session *s, ssmc_progress *call, void *user)
{
    if (!s)
        return;
    s->progress = call;
    s->progress_user = user;
}

/* ---- sequences ----------------------------------------------------------------------------- */

ssmc_status
rt_session_check(const ssmc_session *s, int seq)
{
    if (!s)
        return rt_fail_null("session");
    if (seq >= 0 && seq < s->sequences)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_ARGUMENT, "no sequence %d: the session has 0 to %d", seq,
                   s->sequences - 1);
}

char *
rt_session_states(const ssmc_session *s, int seq)
{
    return s->states + (size_t)seq * s->model->program->state_stride;
}

ssmc_status
rt_session_fits(const ssmc_session *s, int64_t tokens, const char *what)
{
    if (tokens <= s->room)
        return SSMC_OK;
    return rt_fail(SSMC_FULL,
                   "%s has read %" PRId64 " tokens, and the session has room for %" PRId64
                   " of each sequence",
                   what, tokens, s->room);
}

int64_t
ssmc_room(const ssmc_session *s)
{
    return s ? s->room : -1;
}

int64_t
ssmc_tokens(const ssmc_session *s, int seq)
{
    return rt_session_check(s, seq) == SSMC_OK ? s->sequence[seq].tokens : -1;
}

ssmc_status
ssmc_reset(ssmc_session *s, int seq)
{
    const ssmc_program *p = s ? s->model->program : NULL;
    ssmc_status status = rt_session_check(s, seq);
    if (status == SSMC_OK)
        status = s->device->zero(s->queue, rt_session_states(s, seq), p->state_stride);
    if (status == SSMC_OK)
        status = rt_kept_clear(s, seq, 0);
    if (status == SSMC_OK)
        s->sequence[seq].tokens = 0;
    return status;
}

/* ---- its threads ---------------------------------------------------------------------------- */

typedef struct {
    RtWork *work;
    void *user;
    RtFloatMode mode; /* the caller's */
} Shared;

static void
work_shared(void *user, int thread, int threads)
{
    const Shared *shared = user;
    const RtFloatMode before = rt_float_mode();
    rt_float_mode_set(shared->mode);
    shared->work(shared->user, thread, threads);
    rt_float_mode_set(before);
}

void
rt_session_share(const ssmc_session *s, RtWork *work, void *user, int64_t size)
{
    enum { WORTH_A_BARRIER = 1 << 15 };
    Shared shared = {work, user, rt_float_mode()};
    if (size < WORTH_A_BARRIER || rt_pool_threads(s->pool) == 1 || !rt_pool_is_here(s->pool))
        work(user, 0, 1);
    else
        rt_pool_run(s->pool, work_shared, &shared);
}

typedef struct {
    char *to;
    const char *from;
    size_t bytes;
} Copy;

static void
copy_some(void *user, int thread, int threads)
{
    const Copy *c = user;
    const size_t lines = (c->bytes + RT_LINE - 1) / RT_LINE, n = (size_t)threads;
    const size_t begin = lines * (size_t)thread / n * RT_LINE;
    const size_t end = lines * ((size_t)thread + 1) / n * RT_LINE;
    memcpy(c->to + begin, c->from + begin, (end < c->bytes ? end : c->bytes) - begin);
}

static void
copy(const ssmc_session *s, char *to, const char *from, size_t bytes)
{
    enum { A_NUMBER = 16 }; /* bytes that are copied while one is looked at */
    Copy all = {to, from, bytes};
    rt_session_share(s, copy_some, &all, (int64_t)(bytes / A_NUMBER));
}

ssmc_status
rt_session_put(const ssmc_session *s, char *there, const char *here, size_t bytes)
{
    if (s->device->apart)
        return s->device->put(s->queue, there, here, bytes);
    copy(s, there, here, bytes);
    return SSMC_OK;
}

ssmc_status
rt_session_get(const ssmc_session *s, char *here, const char *there, size_t bytes)
{
    if (s->device->apart)
        return s->device->get(s->queue, here, there, bytes);
    copy(s, here, there, bytes);
    return SSMC_OK;
}

/* ---- looking inside ------------------------------------------------------------------------ */

void
rt_session_profile(ssmc_session *s, bool on)
{
    s->run.seconds = on ? (double *)at_here(s, s->layout.seconds) : NULL;
}

void
rt_session_trace(ssmc_session *s, RtLane *lanes)
{
    s->run.lanes = lanes;
}

double
rt_session_step_seconds(const ssmc_session *s, int step)
{
    const double *seconds = (const double *)at_here(s, s->layout.seconds);
    return step >= 0 && step < s->model->program->abi->nsteps ? seconds[step] : 0;
}

/* Bytes there as the host sees them, until it looks again. NULL: they cannot be had. */
static const void *
look(const ssmc_session *s, const char *there, size_t bytes)
{
    if (!s->device->apart)
        return there;
    return s->device->get(s->queue, s->looked, there, bytes) == SSMC_OK ? s->looked : NULL;
}

const float *
rt_session_state(const ssmc_session *s, int seq, const char *name, int64_t *count)
{
    const ssmc_program *p = s->model->program;
    if (seq < 0 || seq >= s->sequences)
        return NULL;
    for (int i = 0; i < p->abi->nstates; i++) {
        const AbiState *state = &p->abi->states[i];
        if (strcmp(state->name, name) != 0 || state->dtype != ABI_F32 || state->row_bytes)
            continue;
        *count = state->bytes / (int64_t)sizeof(float);
        return look(s, rt_session_states(s, seq) + state->offset, (size_t)state->bytes);
    }
    return NULL;
}
