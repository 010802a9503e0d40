/* serve/follow.c -- prompts that begin alike and are read at the same time, such as those of
 * several answers to one prompt: the first of them reads the common beginning, and the others wait
 * for its state. Who waits does so for a request that got its slot earlier and takes part in the
 * same steps, so that somebody always reads. */
#include "serve/internal.h"

static int64_t
common(const int32_t *a, const int32_t *b, int64_t most)
{
    int64_t n = 0;
    while (n < most && a[n] == b[n])
        n++;
    return n;
}

static int64_t
lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static const Request *
leader_of(const Engine *e, const Request *r)
{
    for (int i = 0; i < e->options.slots; i++)
        if (e->slot[i] && e->slot[i]->handle == r->leader)
            return e->slot[i];
    return NULL;
}

void
follow_begin(Engine *e, Request *r, int64_t most)
{
    int64_t best = r->fed + FOLLOW_WORTH - 1;
    for (int i = 0; i < e->options.slots; i++) {
        const Request *other = e->slot[i];
        if (!other || other->place >= r->place || other->asked.idle != r->asked.idle)
            continue;
        const int64_t n = common(r->text, other->text, lesser(most, other->asked.count - 1));
        const size_t bytes = e->state_bytes + (size_t)n * e->token_bytes;
        if (n <= best || other->fed >= n || bytes > e->options.prefix_bytes)
            continue;
        best = n;
        r->leader = other->handle;
        r->follows = n;
    }
}

int64_t
follow_stop(const Engine *e, const Request *leader)
{
    int64_t stop = INT64_MAX;
    for (int i = 0; i < e->options.slots; i++) {
        const Request *r = e->slot[i];
        if (r && r->leader == leader->handle && r->follows > leader->fed)
            stop = lesser(stop, r->follows);
    }
    return stop;
}

bool
follow_is_at(const Engine *e, const Request *leader)
{
    for (int i = 0; i < e->options.slots; i++) {
        const Request *r = e->slot[i];
        if (r && r->leader == leader->handle && r->follows == leader->fed)
            return true;
    }
    return false;
}

bool
follow_is_over(const Engine *e, const Request *r)
{
    const Request *leader = leader_of(e, r);
    return !leader || leader->fed >= r->follows;
}
