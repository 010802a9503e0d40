/* runtime/kept.c -- growing states: a row for each token of a sequence.
 *
 * A session reserves address space for as many tokens as its sequences can hold, each state of each
 * sequence by itself; memory is taken as rows are written. The first 2 MiB of a state are small
 * pages, so that a short sequence takes little more than it needs; what follows is huge pages,
 * which long attention reads a third faster. A device with memory of its own gets its memory before
 * a pass.
 *
 *   bytes of rows:  |  state 0 ......... |  state 1 (a window: a ring) |  state 2 ...  |
 *   sequence 0      [xxxxxx              [xxxxxx]                      [xxx
 *   sequence 1      [xxxxxxxxxxxxxx      [xxxxxx]                      [xxxxxxx
 *
 * Rows past a sequence's tokens are zeros, so whatever makes a sequence shorter, or another, puts
 * zeros there again. What is copied, saved and loaded are whole groups of rows in the order of
 * their tokens, and of a window no more than its groups: a ring of another length takes them as
 * well. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "runtime/session.h"

enum {
    HUGE_PAGE = 2 << 20,
    /* A state whose pages are of two sizes takes two of a process's mappings, of which there are
     * 65530 as a rule. */
    MOST_MAPPINGS = 1 << 14
};

/* ---- rows and groups ----------------------------------------------------------------------- */

static int64_t
groups_up(int64_t rows)
{
    return rows / ABI_ROOM_STEP + (rows % ABI_ROOM_STEP > 0);
}

int64_t
rt_kept_block(const ssmc_program *program)
{
    return program->block > ABI_ROOM_STEP ? program->block : ABI_ROOM_STEP;
}

static int64_t
state_rows(const ssmc_program *program, const AbiState *state, int64_t room)
{
    return abi_state_rows(state->window, room, rt_kept_block(program));
}

/* The first group that a sequence of so many tokens goes on from: that of a window's first token.
 */
static int64_t
first_group(const AbiState *state, int64_t tokens)
{
    const bool some = state->window > 0 && tokens > state->window;
    return some ? (tokens - state->window) / ABI_ROOM_STEP : 0;
}

int64_t
rt_kept_rows(const AbiState *state, int64_t tokens)
{
    if (!state->row_bytes)
        return 0;
    return (groups_up(tokens) - first_group(state, tokens)) * ABI_ROOM_STEP;
}

/* Of an open session the reserve is larger, so nothing overflows. */
size_t
rt_kept_bytes(const ssmc_program *program, int64_t tokens)
{
    size_t bytes = 0;
    for (int i = 0; i < program->abi->nstates; i++) {
        const AbiState *state = &program->abi->states[i];
        bytes += (size_t)rt_kept_rows(state, tokens) * (size_t)state->row_bytes;
    }
    return bytes;
}

/* ---- the reserve --------------------------------------------------------------------------- */

bool
rt_kept_layout(const ssmc_program *program, int sequences, int64_t room, size_t *at, size_t *stride,
               size_t *bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t end = 0, most = page;
    for (int i = 0; i < program->abi->nstates; i++) {
        const AbiState *state = &program->abi->states[i];
        size_t own = 0;
        if (!state->row_bytes)
            continue;
        if (!rt_mul((size_t)state_rows(program, state, room), (size_t)state->row_bytes, &own))
            return false;
        const size_t align = own > HUGE_PAGE ? HUGE_PAGE : page;
        if (!rt_round_up(end, align, &end))
            return false;
        if (at)
            at[i] = end;
        most = align > most ? align : most;
        if (!rt_add(end, own, &end) || !rt_add(end, ABI_KEPT_MORE, &end))
            return false;
    }
    return rt_round_up(end, most, stride) && rt_mul(*stride, (size_t)sequences, bytes) &&
           *bytes <= INT64_MAX;
}

size_t
rt_kept_full(const ssmc_program *program, int64_t tokens)
{
    const int64_t room = groups_up(tokens) * ABI_ROOM_STEP;
    size_t bytes = 0;
    for (int i = 0; i < program->abi->nstates; i++) {
        const AbiState *state = &program->abi->states[i];
        size_t own = 0;
        if (!rt_mul((size_t)state_rows(program, state, room), (size_t)state->row_bytes, &own) ||
            !rt_add(bytes, own, &bytes))
            return SIZE_MAX;
    }
    return bytes;
}

/* Asks for huge pages past the first of each state. */
static void
advise(const ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    if (s->sequences > MOST_MAPPINGS / (2 * p->abi->nstates))
        return;
    for (int seq = 0; seq < s->sequences; seq++)
        for (int i = 0; i < p->abi->nstates; i++) {
            const AbiState *state = &p->abi->states[i];
            const size_t bytes = (size_t)state_rows(p, state, s->room) * (size_t)state->row_bytes;
            if (bytes < 2 * HUGE_PAGE)
                continue;
            char *from = s->kept + (size_t)seq * s->kept_stride + s->kept_at[i];
            rt_pages_long(from + HUGE_PAGE, bytes / HUGE_PAGE * HUGE_PAGE - HUGE_PAGE);
        }
}

ssmc_status
rt_kept_open(ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    if (!p->row_bytes) {
        s->room = INT64_MAX;
        return SSMC_OK;
    }
    if (!rt_kept_layout(p, s->sequences, s->room, s->kept_at, &s->kept_stride, &s->kept_bytes))
        return rt_fail(SSMC_NO_MEMORY,
                       "%d sequences of %" PRId64 " tokens are more than memory can hold",
                       s->sequences, s->room);
    const ssmc_status status = s->device->reserve(s->queue, s->kept_bytes, &s->kept);
    if (status == SSMC_NO_MEMORY)
        return rt_fail(status,
                       "no address space for growing states: %zu bytes for %d sequences of %" PRId64
                       " tokens; a session of fewer tokens needs less",
                       s->kept_bytes, s->sequences, s->room);
    if (status == SSMC_OK && !s->device->apart)
        advise(s);
    return status;
}

/* ---- copying ------------------------------------------------------------------------------- */

static char *
kept_of(const ssmc_session *s, int seq, int state)
{
    return s->kept + (size_t)seq * s->kept_stride + s->kept_at[state];
}

RtKeptWalk
rt_kept_walk(const ssmc_session *s, int seq, int state, int64_t tokens)
{
    const ssmc_program *p = s->model->program;
    const AbiState *a = &p->abi->states[state];
    if (!a->row_bytes)
        return (RtKeptWalk){0};
    return (RtKeptWalk){.rows = kept_of(s, seq, state),
                        .first = first_group(a, tokens),
                        .end = groups_up(tokens),
                        .groups = state_rows(p, a, s->room) / ABI_ROOM_STEP,
                        .group_bytes = a->row_bytes * ABI_ROOM_STEP};
}

bool
rt_kept_next(RtKeptWalk *w)
{
    if (w->first >= w->end)
        return false;
    const int64_t at = w->first % w->groups, wanted = w->end - w->first;
    const int64_t some = wanted < w->groups - at ? wanted : w->groups - at;
    w->first += some;
    w->at = w->rows + at * w->group_bytes;
    w->bytes = (size_t)(some * w->group_bytes);
    return true;
}

ssmc_status
rt_kept_put(ssmc_session *s, int seq, int state, int64_t tokens, const char **from)
{
    RtKeptWalk w = rt_kept_walk(s, seq, state, tokens);
    ssmc_status status = SSMC_OK;
    for (; status == SSMC_OK && rt_kept_next(&w); *from += w.bytes)
        status = rt_session_put(s, w.at, *from, w.bytes);
    return status;
}

/* Rows that a sequence of so many tokens has used, in whole groups. */
static int64_t
rows_used(const ssmc_program *program, const AbiState *state, int64_t room, int64_t tokens)
{
    const int64_t rows = state_rows(program, state, room);
    return tokens < rows ? groups_up(tokens) * ABI_ROOM_STEP : rows;
}

/* Rows of a window may lie anywhere in the ring, so all of it that was used becomes zero; other
 * rows that are copied over need not. */
ssmc_status
rt_kept_clear(ssmc_session *s, int seq, int64_t tokens)
{
    const ssmc_program *p = s->model->program;
    ssmc_status status = SSMC_OK;
    for (int i = 0; i < p->abi->nstates && status == SSMC_OK; i++) {
        const AbiState *state = &p->abi->states[i];
        if (!state->row_bytes)
            continue;
        const int64_t used = rows_used(p, state, s->room, s->sequence[seq].tokens);
        const int64_t from = state->window > 0 ? 0 : rt_kept_rows(state, tokens);
        if (from < used)
            status = s->device->shrink(s->queue,
                                       kept_of(s, seq, i) + (size_t)from * (size_t)state->row_bytes,
                                       (size_t)(used - from) * (size_t)state->row_bytes);
    }
    return status;
}

ssmc_status
rt_kept_grow(ssmc_session *s, int seq, int64_t tokens)
{
    const ssmc_program *p = s->model->program;
    if (!s->device->apart || !s->kept || tokens <= s->sequence[seq].grown)
        return SSMC_OK;
    for (int i = 0; i < p->abi->nstates; i++) {
        const AbiState *state = &p->abi->states[i];
        if (!state->row_bytes)
            continue;
        const int64_t rows = rows_used(p, state, s->room, tokens);
        const size_t bytes = (size_t)rows * (size_t)state->row_bytes + ABI_KEPT_MORE;
        const ssmc_status status = s->device->grow(s->queue, kept_of(s, seq, i), bytes);
        if (status != SSMC_OK)
            return status;
    }
    s->sequence[seq].grown = groups_up(tokens) * ABI_ROOM_STEP;
    return SSMC_OK;
}
