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
#include <string.h>

#include "runtime/session.h"

typedef struct {
    ssmc_session *s;
    const ssmc_input *input; /* [n], checked */
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
check_input(ssmc_session *s, const ssmc_input *in)
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
    if (in->wanted > 0 && !in->logits)
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
gather(Feed *f, const AbiEntry *entry)
{
    ssmc_session *s = f->s;
    const int64_t block = entry->block;
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
            s->to[n++] = in->logits + (since + c->row) * vocab;
        }
        if (c->row < seg->len)
            break;
    }
    return n;
}

/* The layers over the pass, then the head over its wanted rows. */
static ssmc_status
run_pass(Feed *f, const AbiEntry *entry)
{
    ssmc_session *s = f->s;
    const AbiOutput *logits = s->model->program->logits;
    Cursor cursor = {0};
    int64_t n = pick(f, entry->rows, &cursor);
    s->run.range[0] = entry->layers;
    s->run.told.bytes = s->layout.seg - s->layout.input[0] + (size_t)s->call.nseg * sizeof *s->seg;
    do {
        s->call.picked = n;
        s->run.range[1] = n ? entry->head : (AbiRange){0};
        s->run.back.bytes =
            n ? (size_t)((n - 1) * logits->stride + logits->width) * sizeof *s->logits : 0;
        const ssmc_status status = s->device->run(s->queue, &s->run);
        if (status != SSMC_OK)
            return status;
        for (int64_t i = 0; i < n; i++)
            memcpy(s->to[i], s->logits + i * logits->stride,
                   (size_t)logits->width * sizeof *s->logits);
        s->run.range[0] = (AbiRange){0};
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
            if (gather(f, &abi->entries[i])) {
                const ssmc_status status = run_pass(f, &abi->entries[i]);
                if (status != SSMC_OK)
                    return status;
                advance(f);
            }
    return SSMC_OK;
}

/* ---- the interface ------------------------------------------------------------------------- */

ssmc_status
ssmc_feed(ssmc_session *s, const ssmc_input *inputs, int n)
{
    Feed f = {.s = s, .input = inputs, .n = n};
    if (!s)
        return rt_fail_null("session");
    if (n < 1)
        return rt_fail(SSMC_BAD_ARGUMENT, "%d inputs; at least 1 is needed", n);
    if (!inputs)
        return rt_fail_null("inputs");
    ssmc_status status = rt_pool_check(s->pool);
    if (status == SSMC_OK)
        status = s->device->check(s->queue);
    if (status != SSMC_OK)
        return status;
    s->calls++;
    for (int i = 0; i < n; i++) {
        status = check_input(s, &inputs[i]);
        if (status != SSMC_OK)
            return status;
        if (inputs[i].count > INT64_MAX - f.total)
            return rt_fail(SSMC_BAD_ARGUMENT, "more ids in one call than can be counted");
        f.total += inputs[i].count;
    }
    for (int i = 0; i < n && status == SSMC_OK; i++)
        status =
            rt_kept_grow(s, inputs[i].seq, s->sequence[inputs[i].seq].tokens + inputs[i].count);
    return status == SSMC_OK ? feed(&f) : status;
}

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
