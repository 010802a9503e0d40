/* serve/rows.c -- logits of a step that requests want to see: where they go, and what is made of
 * each row, over the threads of the session: the probabilities that are asked for, and the id that
 * is drawn. Probabilities are the model's own: they are of the row as it came, and an id is drawn
 * from a copy, which a request and its sampler may change. */
#include <stdlib.h>
#include <string.h>

#include "serve/internal.h"

/* Logits that the request itself wants. */
static int64_t
rows_wanted(const Portion *p)
{
    const Request *r = p->request;
    if (r->asked.prompt_too && r->asked.top >= 0 && r->fed < r->asked.count)
        return p->count;
    return request_draws(p) && (r->asked.top >= 0 || r->asked.shape);
}

static bool
grow(void **memory, int64_t *cap, int64_t count, size_t size)
{
    if (count <= *cap)
        return true;
    free(*memory);
    *memory = malloc((size_t)count * size);
    *cap = *memory ? count : 0;
    return *memory != NULL;
}

static bool
reserve(Engine *e, int64_t rows, int64_t copies, int64_t ranks)
{
    Rows *x = &e->rows;
    const size_t vocab = (size_t)e->vocab;
    return grow((void **)&x->row, &x->row_cap, rows, sizeof *x->row) &&
           grow((void **)&x->logits, &x->logits_cap, rows, vocab * sizeof *x->logits) &&
           grow((void **)&x->copies, &x->copies_cap, copies, vocab * sizeof *x->copies) &&
           grow((void **)&x->ranks, &x->ranks_cap, ranks, sizeof *x->ranks);
}

static int64_t
most_ranks(const Engine *e, const Request *r)
{
    return r->asked.top < e->vocab ? r->asked.top : e->vocab;
}

/* Every row its place in what is reserved. */
static void
place(Engine *e)
{
    Rows *x = &e->rows;
    float *logits = x->logits, *copy = x->copies;
    EngineRank *ranks = x->ranks;
    for (int i = 0; i < e->nportions; i++) {
        Portion *p = &e->portion[i];
        const Request *r = p->request;
        p->logits = logits;
        p->row = x->row + x->count;
        for (int64_t k = 0; k < p->wanted; k++, logits += e->vocab) {
            Row *row = &x->row[x->count++];
            *row = (Row){.request = r, .logits = logits};
            if (r->asked.top >= 0) {
                row->top = ranks;
                ranks += most_ranks(e, r);
            }
            if (k < p->wanted - 1 || !request_draws(p))
                continue;
            row->drawn_from = logits;
            if (r->asked.top >= 0) {
                row->drawn_from = copy;
                copy += e->vocab;
            }
        }
    }
}

bool
rows_place(Engine *e)
{
    int64_t rows = 0, copies = 0, ranks = 0;
    e->rows.count = 0;
    for (int i = 0; i < e->nportions; i++)
        rows += e->portion[i].wanted = rows_wanted(&e->portion[i]);
    if (rows == 0)
        return true;
    for (int i = 0; i < e->nportions; i++) { /* then no id is drawn inside the call */
        Portion *p = &e->portion[i];
        if (p->wanted == 0 && request_draws(p))
            p->wanted = 1, rows++;
        if (p->request->asked.top < 0)
            continue;
        ranks += p->wanted * most_ranks(e, p->request);
        copies += request_draws(p);
    }
    if (reserve(e, rows, copies, ranks)) {
        place(e);
        return true;
    }
    int kept = 0;
    for (int i = 0; i < e->nportions; i++) {
        Portion *p = &e->portion[i];
        if (rows_wanted(p) > 0) {
            engine_end(e, p->request, ENGINE_failed, "no memory for logits");
            continue;
        }
        p->wanted = 0;
        e->portion[kept++] = *p;
    }
    e->nportions = kept;
    return false;
}

/* What a request's own function makes of its logits. */
static void
shape(const Engine *e, Row *row)
{
    const EngineRequest *asked = &row->request->asked;
    if (!row->drawn_from || !asked->shape)
        return;
    const char *why = "its logits were refused";
    if (row->drawn_from != row->logits)
        memcpy(row->drawn_from, row->logits, (size_t)e->vocab * sizeof *row->logits);
    if (!asked->shape(asked->user, row->drawn_from, e->vocab, &why))
        row->refused = why;
}

static void
settle(const Engine *e, Row *row)
{
    const Request *r = row->request;
    shape(e, row);
    if (r->asked.top >= 0) {
        row->log_sum = logits_log_sum(row->logits, e->vocab);
        row->ntop =
            logits_top(row->logits, e->vocab, row->log_sum, row->top, (int)most_ranks(e, r));
    }
    if (!row->drawn_from || row->refused)
        return;
    if (!r->asked.shape && row->drawn_from != row->logits)
        memcpy(row->drawn_from, row->logits, (size_t)e->vocab * sizeof *row->logits);
    row->id = ssmc_sample(r->sampler, row->drawn_from);
}

typedef struct {
    const Engine *engine;
    Row *row;
    int64_t count;
} Some;

static void
settle_some(void *user, int thread, int threads)
{
    const Some *some = user;
    for (int64_t i = thread; i < some->count; i += threads)
        settle(some->engine, &some->row[i]);
}

void
rows_settle(Engine *e, Row *row, int64_t count)
{
    Some some = {e, row, count};
    if (count > 0)
        rt_session_share(e->session, settle_some, &some, count * e->vocab);
}

void
rows_free(Rows *rows)
{
    free(rows->row);
    free(rows->logits);
    free(rows->copies);
    free(rows->ranks);
}
