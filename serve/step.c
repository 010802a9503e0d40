/* serve/step.c -- one step: what each running request is fed, the call of the session, and what
 * comes of it.
 *
 * A request that draws is fed the id that it drew. Beside those, the step reads pieces of prompts,
 * as many ids as keep it below the latency that was asked for, by the smoothed times of the steps
 * before; where nothing draws, as many as a pass of the model takes. The request that has been
 * reading for longest gets half of these ids, the others go to those that have the least left: a
 * short prompt need not wait for a long one, nor does a long one starve. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/internal.h"

/* ---- what the step reads ------------------------------------------------------------------- */

static int64_t
text_count(const Request *r)
{
    return r->asked.count + r->drawn;
}

static int64_t
text_left(const Request *r)
{
    return text_count(r) - r->fed;
}

static bool
tells_prompt_ranks(const Request *r)
{
    return r->asked.prompt_too && r->asked.top >= 0;
}

/* The ids that one portion may have: a request that wants logits of its prompt has them in memory.
 */
static int64_t
most_of_portion(const Engine *e, const Request *r)
{
    enum { LOGITS = 1 << 22 };
    const int64_t rows = LOGITS / e->vocab, stop = resume_stop(e, r) - r->fed;
    const int64_t left = stop < text_left(r) ? stop : text_left(r);
    if (!tells_prompt_ranks(r) || left <= rows)
        return left;
    return rows > 1 ? rows : 1;
}

static void
add_portion(Engine *e, int slot, int64_t count)
{
    e->portion[e->nportions++] = (Portion){.request = e->slot[slot], .slot = slot, .count = count};
}

/* Ids of prompts that this step may read. */
static int64_t
ids_to_read(const Engine *e, bool others_draw)
{
    enum { GROUP = 16 }; /* kernels take rows in groups: fewer would not be quicker */
    const Pace *pace = &e->pace;
    if (!others_draw || pace->tokens <= 0 || pace->piece <= 0)
        return e->block;
    /* A quarter of a step at least, else prompts would hardly be read where steps are long. */
    const double left = fmax(e->options.latency - pace->step, pace->step / 4);
    const double ids = left * pace->tokens / pace->piece;
    if (ids >= (double)e->block)
        return e->block;
    return ids < GROUP ? GROUP : (int64_t)ids / GROUP * GROUP;
}

static int
by_left(const void *a, const void *b)
{
    const Portion *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return (x->request->handle > y->request->handle) - (x->request->handle < y->request->handle);
}

static void
take_piece(Portion *p, int64_t *left, int64_t most)
{
    const int64_t now = p->count < most ? p->count : most;
    p->count = now < *left ? now : *left;
    *left -= p->count;
}

/* portion [n] with all that each has left to read: cut to `left` ids together; some get none. */
static void
share_out(Portion *portion, int n, int64_t left)
{
    int oldest = 0;
    qsort(portion, (size_t)n, sizeof *portion, by_left);
    for (int i = 1; i < n; i++)
        if (portion[i].request->began < portion[oldest].request->began)
            oldest = i;
    const int64_t whole = portion[oldest].count, half = (left + 1) / 2;
    take_piece(&portion[oldest], &left, half);
    for (int i = 0; i < n; i++)
        if (i != oldest)
            take_piece(&portion[i], &left, left);
    if (portion[oldest].count + left > whole)
        left = whole - portion[oldest].count;
    portion[oldest].count += left;
}

/* Idle requests take no part in a step where others run. */
static void
plan(Engine *e)
{
    bool idle = true;
    int drawing = 0, kept = 0;
    e->nportions = 0;
    for (int i = 0; i < e->options.slots; i++)
        idle = idle && !(e->slot[i] && !e->slot[i]->asked.idle);
    for (int pieces = 0; pieces < 2; pieces++) {
        drawing = e->nportions;
        for (int i = 0; i < e->options.slots; i++) {
            const Request *r = e->slot[i];
            if (r && !resume_waits(r) && r->asked.idle == idle && (text_left(r) > 1) == pieces)
                add_portion(e, i, most_of_portion(e, r));
        }
    }
    if (e->nportions > drawing)
        share_out(e->portion + drawing, e->nportions - drawing, ids_to_read(e, drawing > 0));
    for (int i = 0; i < e->nportions; i++)
        if (e->portion[i].count > 0)
            e->portion[kept++] = e->portion[i];
    e->nportions = kept;
}

/* ---- the call ------------------------------------------------------------------------------ */

/* Whether the portion ends with the last id of the text, after which one is drawn. */
static bool
is_last(const Portion *p)
{
    return p->count == text_left(p->request);
}

bool
request_draws(const Portion *p)
{
    return is_last(p) && p->request->drawn < p->request->asked.most;
}

/* Feeds portions [n]; an id is drawn for those whose text is fed, where no logits are wanted. */
static ssmc_status
feed(Engine *e, Portion *portion, int n)
{
    bool logits = false;
    for (int i = 0; i < n; i++) {
        const Portion *p = &portion[i];
        const int32_t *ids = p->request->text + p->request->fed;
        ssmc_sampler *sampler = request_draws(p) ? p->request->sampler : NULL;
        logits = logits || p->wanted > 0;
        e->turn[i] = (ssmc_turn){p->slot, ids, p->count, sampler, 0};
        e->input[i] = (ssmc_input){p->slot, ids, p->count, p->wanted, p->logits};
    }
    const ssmc_status status =
        logits ? ssmc_feed(e->session, e->input, n) : ssmc_draw(e->session, e->turn, n);
    for (int i = 0; i < n; i++)
        portion[i].id = e->turn[i].id;
    return status;
}

/* ---- what comes of it ---------------------------------------------------------------------- */

/* An id and its probability, by the row of logits before it. */
static EngineToken
ranked(int32_t id, int64_t index, const Row *row)
{
    EngineToken token = {.id = id, .index = index, .logprob = NAN};
    if (row && row->request->asked.top >= 0) {
        token.logprob = (float)((double)row->logits[id] - row->log_sum);
        token.top = row->top;
        token.ntop = row->ntop;
    }
    return token;
}

static bool
tell(const Request *r, const EngineToken *token)
{
    return !r->asked.token || r->asked.token(r->asked.user, token);
}

/* The ids of the prompt that have been fed, and the one after them: the probability of each is in
 * the logits of the one before it. False: enough. */
static bool
tell_prompt(const Portion *p)
{
    Request *r = p->request;
    const int64_t begin = r->fed - p->count;
    const int64_t end = r->fed < r->asked.count ? r->fed + 1 : r->asked.count;
    while (r->told < end) {
        const int64_t i = r->told++;
        const Row *row = p->wanted && i > begin ? &p->row[i - 1 - begin] : NULL;
        const EngineToken token = ranked(r->text[i], i, row);
        if (!tell(r, &token))
            return false;
    }
    return true;
}

static bool
is_eos(const Engine *e, int32_t id)
{
    for (size_t i = 0; i < e->options.neos; i++)
        if (e->options.eos[i] == id)
            return true;
    return false;
}

static bool
append(Request *r, int32_t id)
{
    const int64_t count = text_count(r);
    if (count == r->cap) {
        int32_t *more = realloc(r->text, (size_t)(2 * r->cap) * sizeof *more);
        if (!more)
            return false;
        r->text = more;
        r->cap *= 2;
    }
    r->text[count] = id;
    r->drawn++;
    return true;
}

static void
end_with(Portion *p, EngineEnd end, const char *error)
{
    p->over = true;
    p->end = end;
    p->error = error;
}

/* An id is drawn and told. */
static void
draw(const Engine *e, Portion *p)
{
    Request *r = p->request;
    const Row *row = p->wanted ? &p->row[p->wanted - 1] : NULL;
    const int32_t id = row ? row->id : p->id;
    if (row && row->refused) {
        end_with(p, ENGINE_failed, row->refused);
        return;
    }
    r->first = r->first > 0 ? r->first : rt_now();
    if (!r->asked.ignore_eos && is_eos(e, id)) {
        end_with(p, ENGINE_eos, NULL);
        return;
    }
    const EngineToken token = ranked(id, text_count(r), row);
    if (!append(r, id)) {
        end_with(p, ENGINE_failed, "no memory for more ids");
        return;
    }
    p->drew = true;
    if (!tell(r, &token))
        end_with(p, ENGINE_enough, NULL);
    else if (r->drawn == r->asked.most || text_count(r) >= e->options.room)
        end_with(p, ENGINE_length, NULL);
}

/* Touches its own request alone. */
static void
deliver(const Engine *e, Portion *p)
{
    if (p->request->asked.prompt_too && !tell_prompt(p))
        end_with(p, ENGINE_enough, NULL);
    else if (p->last && p->draws)
        draw(e, p);
    else if (p->last)
        end_with(p, ENGINE_length, NULL);
}

typedef struct {
    const Engine *engine;
    Portion *portion;
    int count;
} Some;

static void
deliver_some(void *user, int thread, int threads)
{
    const Some *some = user;
    for (int i = thread; i < some->count; i += threads)
        deliver(some->engine, &some->portion[i]);
}

/* The portion was fed. */
static void
advance(Engine *e, Portion *p)
{
    Request *r = p->request;
    const int64_t left = r->asked.count - r->fed;
    const int64_t of_prompt = left < 0 ? 0 : left < p->count ? left : p->count;
    p->last = is_last(p);
    p->draws = request_draws(p);
    p->drew = p->over = false;
    e->read += (uint64_t)of_prompt;
    e->ahead += r->asked.idle ? (uint64_t)of_prompt : 0;
    r->fed += p->count;
    resume_fed(e, r, p->slot);
}

/* Requests are told over the threads of the session: their texts and events are made there. */
static void
deliver_all(Engine *e, Portion *portion, int count)
{
    enum { A_TELLING = 2048 }; /* takes as long as a look at so many numbers */
    Some some = {e, portion, count};
    for (int i = 0; i < count; i++)
        advance(e, &portion[i]);
    rt_session_share(e->session, deliver_some, &some, (int64_t)count * A_TELLING);
    for (int i = 0; i < count; i++) {
        e->drawn += portion[i].drew;
        if (portion[i].over)
            engine_end(e, portion[i].request, portion[i].end, portion[i].error);
    }
}

/* ---- faults -------------------------------------------------------------------------------- */

/* The step failed, as a rule before anything was read: each of its requests is tried alone, so that
 * it fails alone. */
static void
retry_alone(Engine *e)
{
    for (int i = 0; i < e->nportions; i++) {
        Portion *p = &e->portion[i];
        Request *r = p->request;
        const bool whole = ssmc_tokens(e->session, p->slot) == r->fed;
        if (!whole || feed(e, p, 1) != SSMC_OK) {
            engine_end(e, r, ENGINE_failed, ssmc_error());
            continue;
        }
        rows_settle(e, p->row, p->wanted);
        deliver_all(e, p, 1);
    }
}

/* ---- a step -------------------------------------------------------------------------------- */

static void
smooth(double *value, double now)
{
    *value += *value > 0 ? (now - *value) / 8 : now;
}

/* Before anything is told of the step. */
static void
measure(Engine *e, double seconds)
{
    int64_t drawing = 0, pieces = 0;
    for (int i = 0; i < e->nportions; i++)
        *(text_left(e->portion[i].request) == 1 ? &drawing : &pieces) += e->portion[i].count;
    if (pieces == 0) {
        smooth(&e->pace.step, seconds);
        return;
    }
    smooth(&e->pace.piece, drawing ? fmax(seconds - e->pace.step, seconds / 16) : seconds);
    smooth(&e->pace.tokens, (double)pieces);
}

bool
step_run(Engine *e)
{
    plan(e);
    rows_place(e);
    if (e->nportions == 0)
        return false;
    const double began = rt_now();
    const ssmc_status status = feed(e, e->portion, e->nportions);
    const double seconds = rt_now() - began;
    if (status == SSMC_OK) {
        measure(e, seconds);
        rows_settle(e, e->rows.row, e->rows.count);
        deliver_all(e, e->portion, e->nportions);
    } else {
        retry_alone(e);
    }
    pthread_mutex_lock(&e->lock);
    e->counts.steps++;
    e->counts.busy += seconds;
    engine_count(e);
    pthread_mutex_unlock(&e->lock);
    return true;
}
