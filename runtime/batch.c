/* runtime/batch.c -- feeding tokens to sequences: any number to each of any subset, in one call.
 *
 * Each input is cut in pieces of `block` tokens, counted from its first: the pieces that it would
 * be cut in if it were fed alone. A piece takes the entry that its length asks for: of those that
 * take as many tokens of a sequence the one that takes the fewest. A pass runs pieces of one entry
 * of as many inputs as it has room for, side by side as segments (RT_MOST_SEGMENTS), at most one of
 * each, since a piece needs the states the piece before it left. A piece that does not fit is cut
 * at a multiple of the entry's grain, where a cut leaves every bit as it is. Rows do not see each
 * other outside convolution, SSD and attention, and those know segments: so what an input gets
 * depends on nothing but itself. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runtime/session.h"

typedef struct {
    ssmc_session *s;
    const ssmc_input *input; /* [n], checked */
    ssmc_turn *turn;         /* [n] that draw ids; NULL: none do */
    int32_t *next;           /* where the greedy id of the first goes; NULL: none is asked for */
    int64_t apart;           /* from there to that of the second */
    bool sharing;            /* turns share a sampler */
    int list;                /* of candidates, which ids are drawn by; -1: logits */
    int n;
    int first;           /* the inputs before it have been read whole */
    int64_t done, total; /* tokens */
} Feed;

/* ---- checks -------------------------------------------------------------------------------- */

static ssmc_status
check_ids(const ssmc_session *s, const ssmc_input *in)
{
    const int64_t vocab = ssmc_model_vocab(s->model);
    if (in->count < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "%" PRId64 " ids for sequence %d; at least 1 is needed",
                       in->count, in->seq);
    if (!in->ids)
        return rt_fail(SSMC_BAD_ARGUMENT, "no ids for sequence %d: they are NULL", in->seq);
    for (int64_t i = 0; i < in->count; i++)
        if (in->ids[i] < 0 || in->ids[i] >= vocab)
            return rt_fail(SSMC_BAD_ARGUMENT,
                           "id %" PRId64 " of %" PRId64 " is %" PRId32
                           "; the model's ids are 0 to %" PRId64 " (sequence %d)",
                           i + 1, in->count, in->ids[i], vocab - 1, in->seq);
    return SSMC_OK;
}

/* A sequence is there, and is named for the first time in this call. */
static ssmc_status
check_sequence(ssmc_session *s, int seq)
{
    const ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    if (s->sequence[seq].named == s->calls)
        return rt_fail(SSMC_BAD_ARGUMENT, "sequence %d is named twice in one call", seq);
    s->sequence[seq].named = s->calls;
    return SSMC_OK;
}

static ssmc_status
check_room(const ssmc_session *s, const ssmc_input *in)
{
    const int64_t tokens = s->sequence[in->seq].tokens;
    if (in->count <= s->room - tokens)
        return SSMC_OK;
    return rt_fail(SSMC_FULL,
                   "sequence %d is full: it has %" PRId64 " tokens, %" PRId64
                   " more were given, and it has room for %" PRId64,
                   in->seq, tokens, in->count, s->room);
}

static ssmc_status
check_input(ssmc_session *s, const ssmc_input *in, bool draws)
{
    ssmc_status status = check_sequence(s, in->seq);
    if (status == SSMC_OK)
        status = check_ids(s, in);
    if (status != SSMC_OK)
        return status;
    if (in->wanted < 0 || in->wanted > in->count)
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "logits of the last %" PRId64 " of %" PRId64 " tokens of sequence %d",
                       in->wanted, in->count, in->seq);
    if (in->wanted > 0 && !in->logits && !draws)
        return rt_fail(SSMC_BAD_ARGUMENT, "logits of sequence %d are wanted, but nowhere", in->seq);
    return check_room(s, in);
}

/* ---- passes -------------------------------------------------------------------------------- */

/* Rows of the piece that input i is at which a pass of an entry takes into `room` rows. */
static int64_t
rows_of(const Feed *f, int i, const AbiEntry *entry, int64_t room)
{
    const ssmc_program *program = f->s->model->program;
    const int64_t most = rt_program_piece(program);
    const int64_t inside = f->s->at[i] % most, begin = f->s->at[i] - inside;
    const int64_t left = f->input[i].count - begin;
    const int64_t piece = left < most ? left : most;
    if (left < 1 || rt_program_entry(program->abi, piece) != entry)
        return 0;
    if (piece - inside <= room)
        return piece - inside;
    if (entry->grain == 0)
        return 0;
    const int64_t cut = (inside + room) / entry->grain * entry->grain;
    return cut > inside ? cut - inside : 0;
}

/* Fills a pass of one entry with pieces: its segments, rows and ids. False: no input is at a piece
 * of this entry. */
static bool
gather(Feed *f, int number)
{
    ssmc_session *s = f->s;
    const AbiEntry *entry = &s->model->program->abi->entries[number];
    const int64_t block = entry->block;
    rt_session_tell(s, number, 0);
    s->call.rows = s->call.nseg = 0;
    for (int i = f->first; i < f->n && s->call.rows < block && s->call.nseg < RT_MOST_SEGMENTS;
         i++) {
        const ssmc_input *in = &f->input[i];
        const int64_t rows = rows_of(f, i, entry, block - s->call.rows);
        if (rows == 0)
            continue;
        memcpy(s->input[RT_IDS] + s->call.rows, in->ids + s->at[i], (size_t)rows * sizeof *in->ids);
        const int64_t before = s->sequence[in->seq].tokens;
        for (int64_t row = 0; row < rows; row++)
            s->input[RT_POSITIONS][s->call.rows + row] = (int32_t)(before + row);
        s->seg[s->call.nseg] =
            (AbiSeg){.row = s->call.rows, .len = rows, .slot = in->seq, .past = before};
        s->owner[s->call.nseg++] = i;
        s->call.rows += rows;
    }
    return s->call.rows > 0;
}

/* Where a walk over the wanted rows of a pass is. */
typedef struct {
    int64_t seg, row; /* row: in the segment */
} Cursor;

/* The next wanted rows, at most so many: how many. */
static int64_t
pick(Feed *f, int64_t most, Cursor *c)
{
    ssmc_session *s = f->s;
    const int64_t vocab = ssmc_model_vocab(s->model);
    int64_t n = 0;
    for (; c->seg < s->call.nseg && n < most; c->seg++, c->row = 0) {
        const AbiSeg *seg = &s->seg[c->seg];
        const int32_t owner = s->owner[c->seg];
        const ssmc_input *in = &f->input[owner];
        /* Tokens from the first wanted one to the segment's first. */
        const int64_t since = s->at[owner] - (in->count - in->wanted);
        if (since + c->row < 0)
            c->row = -since;
        for (; c->row < seg->len && n < most; c->row++) {
            s->input[RT_PICK][n] = (int32_t)(seg->row + c->row);
            if (f->turn)
                s->pick[n++] = (RtPick){NULL, f->turn[owner].sampler, &f->turn[owner].id};
            else if (f->next)
                s->pick[n++] = (RtPick){.id = f->next + owner * f->apart};
            else
                s->pick[n++] = (RtPick){.logits = in->logits + (since + c->row) * vocab};
        }
        if (c->row < seg->len)
            break;
    }
    return n;
}

/* What a list of one candidate says: NaNs come after all others. */
static int32_t
id_of(const float *list)
{
    return isnan(list[0]) ? 0 : (int32_t)list[1];
}

/* Row i of what was picked: its logits go where they are wanted, or an id is drawn. Where a list of
 * candidates does not say which, of the row's logits, which are still there. */
static ssmc_status
give(Feed *f, int64_t i)
{
    ssmc_session *s = f->s;
    const ssmc_program *program = s->model->program;
    const RtPick *pick = &s->pick[i];
    const RtCopy logits = rt_session_output(s, program->logits, 1);
    const size_t at = (size_t)(i * program->logits->stride) * sizeof(float);
    float *row = (float *)(logits.here + at);
    ssmc_status status = SSMC_OK;
    if (f->list >= 0) {
        const AbiOutput *list = program->list[f->list];
        const float *few = (const float *)rt_session_output(s, list, 1).here + i * list->stride;
        if (!pick->sampler)
            *pick->id = id_of(few);
        if (!pick->sampler || rt_sample_candidates(pick->sampler, few, list->candidates, pick->id))
            return SSMC_OK;
        if (s->device->apart)
            status = s->device->get(s->queue, row, logits.there + at, logits.bytes);
    }
    if (status != SSMC_OK)
        return status;
    if (pick->logits)
        memcpy(pick->logits, row, logits.bytes);
    else
        *pick->id = pick->sampler ? ssmc_sample(pick->sampler, row)
                                  : rt_greedy(row, program->logits->width);
    return SSMC_OK;
}

/* Rows of a pass that share no sampler, over threads. */
static void
give_some(void *user, int thread, int threads)
{
    Feed *f = user;
    for (int64_t i = thread; i < f->s->call.picked; i += threads)
        give(f, i);
}

/* All that was picked. Rows that share a sampler draw in their order; those of a device with memory
 * of its own may have to be fetched. */
static ssmc_status
give_all(Feed *f)
{
    ssmc_session *s = f->s;
    ssmc_status status = SSMC_OK;
    if (!s->device->apart && !f->sharing) {
        const int64_t width = s->model->program->logits->width;
        rt_session_share(s, give_some, f, s->call.picked * width);
        return SSMC_OK;
    }
    for (int64_t i = 0; i < s->call.picked && status == SSMC_OK; i++)
        status = give(f, i);
    return status;
}

/* The layers over the pass, then the head over its wanted rows. */
static ssmc_status
run_pass(Feed *f, const AbiEntry *entry)
{
    ssmc_session *s = f->s;
    const ssmc_program *program = s->model->program;
    const AbiOutput *back = f->list < 0 ? program->logits : program->list[f->list];
    const AbiRange none = {0}, choose = {entry->choose.first + f->list, 1};
    Cursor cursor = {0};
    int64_t n = pick(f, entry->rows, &cursor);
    s->run.range[0] = entry->layers;
    s->run.told.bytes += (size_t)s->call.nseg * sizeof *s->seg;
    const bool single = entry == &program->abi->entries[rt_session_step_entry(program)];
    do {
        s->call.picked = n;
        if (single)
            rt_session_halve(s);
        s->run.range[1] = n ? entry->head : none;
        s->run.range[2] = n && f->list >= 0 ? choose : none;
        s->run.back = rt_session_output(s, back, n);
        ssmc_status status = s->device->run(s->queue, &s->run);
        if (status == SSMC_OK && n)
            status = give_all(f);
        if (status != SSMC_OK)
            return status;
        s->run.range[0] = none;
        n = n ? pick(f, entry->rows, &cursor) : 0;
    } while (n);
    return SSMC_OK;
}

static void
advance(Feed *f)
{
    ssmc_session *s = f->s;
    for (int64_t i = 0; i < s->call.nseg; i++) {
        s->at[s->owner[i]] += s->seg[i].len;
        s->sequence[s->seg[i].slot].tokens += s->seg[i].len;
    }
    f->done += s->call.rows;
    while (f->first < f->n && s->at[f->first] == f->input[f->first].count)
        f->first++;
    if (s->progress && f->total > f->n) /* a step is no long work */
        s->progress(s->progress_user, f->done, f->total);
}

static ssmc_status
feed(Feed *f)
{
    const AbiProgram *abi = f->s->model->program->abi;
    memset(f->s->at, 0, (size_t)f->n * sizeof *f->s->at);
    while (f->done < f->total)
        for (int i = 0; i < abi->nentries; i++)
            if (gather(f, i)) {
                const ssmc_status status = run_pass(f, &abi->entries[i]);
                if (status != SSMC_OK)
                    return status;
                advance(f);
            }
    return SSMC_OK;
}

/* ---- the interface ------------------------------------------------------------------------- */

/* Checks all inputs before anything changes. */
static ssmc_status
feed_checked(Feed *f)
{
    ssmc_session *s = f->s;
    ssmc_status status = rt_pool_check(s->pool);
    if (status == SSMC_OK)
        status = s->device->check(s->queue);
    if (status != SSMC_OK)
        return status;
    s->calls++;
    for (int i = 0; i < f->n; i++) {
        const ssmc_input *in = &f->input[i];
        status = check_input(s, in, f->turn || f->next);
        if (status != SSMC_OK)
            return status;
        if (in->count > INT64_MAX - f->total)
            return rt_fail(SSMC_BAD_ARGUMENT, "more ids in one call than can be counted");
        f->total += in->count;
    }
    for (int i = 0; i < f->n && status == SSMC_OK; i++) {
        const ssmc_input *in = &f->input[i];
        status = rt_kept_grow(s, in->seq, s->sequence[in->seq].tokens + in->count);
    }
    return status == SSMC_OK ? feed(f) : status;
}

static ssmc_status
check_count(const ssmc_session *s, const void *inputs, int n)
{
    if (!s)
        return rt_fail_null("session");
    if (n < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "%d inputs; at least 1 is needed", n);
    return inputs ? SSMC_OK : rt_fail_null("inputs");
}

ssmc_status
ssmc_feed(ssmc_session *s, const ssmc_input *inputs, int n)
{
    Feed f = {.s = s, .input = inputs, .list = -1, .n = n};
    const ssmc_status status = check_count(s, inputs, n);
    return status == SSMC_OK ? feed_checked(&f) : status;
}

/* The shortest list of candidates that may do for all samplers; -1: logits. */
static int
list_for(const ssmc_program *program, const ssmc_turn *turns, int n)
{
    int64_t most = 0;
    int best = -1;
    for (int i = 0; i < n; i++) {
        const int64_t wants = turns[i].sampler ? rt_sampler_wants(turns[i].sampler) : 0;
        most = wants > most ? wants : most;
    }
    for (int i = 0; i < program->nlists; i++)
        if (program->list[i]->candidates >= most &&
            (best < 0 || program->list[i]->candidates < program->list[best]->candidates))
            best = i;
    return best;
}

ssmc_status
ssmc_draw(ssmc_session *s, ssmc_turn *turns, int n)
{
    ssmc_status status = check_count(s, turns, n);
    if (status != SSMC_OK)
        return status;
    const int64_t vocab = ssmc_model_vocab(s->model);
    bool sharing = false;
    s->calls++;
    for (int i = 0; i < n; i++) {
        const ssmc_turn *t = &turns[i];
        status = check_sequence(s, t->seq);
        if (status != SSMC_OK)
            return status;
        if (t->sampler && rt_sampler_vocab(t->sampler) != vocab)
            return rt_fail(SSMC_BAD_ARGUMENT,
                           "a sampler of %" PRId64 " ids for sequence %d; the model has %" PRId64,
                           rt_sampler_vocab(t->sampler), t->seq, vocab);
        sharing |= t->sampler && !rt_sampler_named(t->sampler, s->calls);
        /* Each is named once, so there is room. */
        s->inputs[i] = (ssmc_input){t->seq, t->ids, t->count, t->sampler != NULL, NULL};
    }
    Feed f = {.s = s,
              .input = s->inputs,
              .turn = turns,
              .sharing = sharing,
              .list = list_for(s->model->program, turns, n),
              .n = n};
    return feed_checked(&f);
}

/* ---- greedily ------------------------------------------------------------------------------ */

typedef struct {
    ssmc_session *s;
    const int *seqs;
    const int32_t *ids; /* [n] that are fed first */
    int n;
    int64_t count;
    int32_t *out; /* [n,count] */
} Greedy;

static ssmc_status
check_greedy(const Greedy *g)
{
    ssmc_session *s = g->s;
    s->calls++;
    for (int i = 0; i < g->n; i++) {
        const ssmc_input in = {g->seqs[i], &g->ids[i], 1, 0, NULL};
        ssmc_status status = check_input(s, &in, false);
        if (status == SSMC_OK && s->sequence[in.seq].tokens > s->room - g->count)
            status = rt_fail(SSMC_FULL,
                             "sequence %d is full: it has %" PRId64 " tokens, %" PRId64
                             " more are to come, and it has room for %" PRId64,
                             in.seq, s->sequence[in.seq].tokens, g->count, s->room);
        if (status != SSMC_OK)
            return status;
    }
    return SSMC_OK;
}

/* One after the other. */
static ssmc_status
steps(const Greedy *g)
{
    ssmc_session *s = g->s;
    const ssmc_program *program = s->model->program;
    ssmc_status status = SSMC_OK;
    for (int64_t i = 0; i < g->count && status == SSMC_OK; i++) {
        Feed f = {.s = s,
                  .input = s->inputs,
                  .next = g->out + i,
                  .apart = g->count,
                  .list = program->one,
                  .n = g->n};
        for (int k = 0; k < g->n; k++) {
            const int32_t *id = i ? &g->out[k * g->count + i - 1] : &g->ids[k];
            s->inputs[k] = (ssmc_input){g->seqs[k], id, 1, 1, NULL};
        }
        status = feed_checked(&f);
    }
    return status;
}

/* Whether a pass can be fed what the one before has given, all sequences together. */
static bool
can_run_ahead(const Greedy *g)
{
    const ssmc_session *s = g->s;
    const ssmc_program *p = s->model->program;
    const AbiEntry *e = &p->abi->entries[rt_session_step_entry(p)];
    return s->device->start && p->one >= 0 && p->ids && g->n <= e->rows && g->n <= e->block &&
           !s->run.seconds && !s->run.lanes;
}

/* Pass i of all sequences is begun. */
static ssmc_status
start(const Greedy *g, int64_t i)
{
    ssmc_session *s = g->s;
    const ssmc_program *p = s->model->program;
    const int step = rt_session_step_entry(p), slot = (int)(i % 2);
    const AbiEntry *e = &p->abi->entries[step];
    rt_session_tell(s, step, slot);
    for (int k = 0; k < g->n; k++) {
        const int64_t before = s->sequence[g->seqs[k]].tokens;
        s->input[RT_IDS][k] = g->ids[k];
        s->input[RT_POSITIONS][k] = (int32_t)before;
        s->input[RT_PICK][k] = k;
        s->seg[k] = (AbiSeg){.row = k, .len = 1, .slot = g->seqs[k], .past = before};
    }
    s->call.rows = s->call.nseg = s->call.picked = g->n;
    s->run.range[0] = e->layers;
    s->run.range[1] = e->head;
    s->run.range[2] = (AbiRange){e->choose.first + p->one, 1};
    s->run.told.bytes += (size_t)g->n * sizeof *s->seg;
    if (i > 0)
        s->run.fed = (RtCopy){s->run.told.there, rt_session_output(s, p->ids, g->n).there,
                              (size_t)g->n * sizeof(int32_t)};
    rt_session_halve(s);
    s->run.back = rt_session_given(s, g->n, slot);
    const ssmc_status status = s->device->start(s->queue, &s->run, slot);
    for (int k = 0; k < g->n && status == SSMC_OK; k++)
        s->sequence[g->seqs[k]].tokens++;
    return status;
}

static ssmc_status
finish(const Greedy *g, int64_t i)
{
    ssmc_session *s = g->s;
    const ssmc_program *p = s->model->program;
    const ssmc_status status = s->device->finish(s->queue, (int)(i % 2));
    const float *list = (const float *)rt_session_given(s, g->n, (int)(i % 2)).here;
    for (int k = 0; k < g->n && status == SSMC_OK; k++)
        g->out[k * g->count + i] = id_of(list + k * p->list[p->one]->stride);
    return status;
}

/* Pass i + 1 is begun before pass i is done: it is fed on the device. */
static ssmc_status
steps_ahead(const Greedy *g)
{
    ssmc_session *s = g->s;
    ssmc_status status = SSMC_OK;
    for (int k = 0; k < g->n && status == SSMC_OK; k++)
        status = rt_kept_grow(s, g->seqs[k], s->sequence[g->seqs[k]].tokens + g->count);
    if (status == SSMC_OK)
        status = start(g, 0);
    if (status != SSMC_OK)
        return status;
    for (int64_t i = 0; i < g->count; i++) {
        const ssmc_status more = i + 1 < g->count ? start(g, i + 1) : SSMC_OK;
        const ssmc_status done = finish(g, i);
        if (more != SSMC_OK || done != SSMC_OK)
            return more != SSMC_OK ? more : done;
    }
    return SSMC_OK;
}

ssmc_status
ssmc_greedy(ssmc_session *s, const int *seqs, const int32_t *ids, int n, int64_t count,
            int32_t *out)
{
    ssmc_status status = check_count(s, seqs, n);
    if (status == SSMC_OK && (!ids || !out))
        status = rt_fail_null(ids ? "place for ids" : "ids");
    if (status == SSMC_OK && count < 1)
        status = rt_fail(SSMC_BAD_ARGUMENT, "%" PRId64 " ids to make; at least 1 is needed", count);
    const Greedy g = {s, seqs, ids, n, count, out};
    if (status == SSMC_OK)
        status = rt_pool_check(s->pool);
    if (status == SSMC_OK)
        status = s->device->check(s->queue);
    if (status == SSMC_OK)
        status = check_greedy(&g);
    if (status != SSMC_OK)
        return status;
    return can_run_ahead(&g) ? steps_ahead(&g) : steps(&g);
}

/* ---- in other words ------------------------------------------------------------------------ */

ssmc_status
ssmc_prefill(ssmc_session *s, int seq, const int32_t *ids, int64_t n, float *logits)
{
    return ssmc_feed(s, &(ssmc_input){seq, ids, n, logits != NULL, logits}, 1);
}

ssmc_status
ssmc_prefill_all(ssmc_session *s, int seq, const int32_t *ids, int64_t n, float *logits)
{
    return ssmc_feed(s, &(ssmc_input){seq, ids, n, n > 0 ? n : 0, logits}, 1);
}

ssmc_status
ssmc_step(ssmc_session *s, const int *seqs, const int32_t *ids, int n, float *logits)
{
    if (!s)
        return rt_fail_null("session");
    if (n > 0 && (!seqs || !ids))
        return rt_fail_null(seqs ? "ids" : "numbers of sequences");
    const int64_t vocab = ssmc_model_vocab(s->model);
    s->calls++;
    for (int i = 0; i < n; i++) {
        const ssmc_status status = check_sequence(s, seqs[i]);
        if (status != SSMC_OK)
            return status;
        /* Each is named once, so there is room. */
        s->inputs[i] = (ssmc_input){.seq = seqs[i], .ids = &ids[i], .count = 1};
        if (logits)
            s->inputs[i].logits = logits + i * vocab, s->inputs[i].wanted = 1;
    }
    return ssmc_feed(s, s->inputs, n);
}
