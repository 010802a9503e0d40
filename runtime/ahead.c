/* runtime/ahead.c -- weights asked for by threads that wait.
 *
 * A pass of few tokens takes as long as its weights take from memory, as long as memory is kept
 * busy. It is not while threads wait for the slowest of them at a barrier, and while thread 0 runs
 * a norm. So who waits asks for the first lines of its share of the next weight, to its
 * second-level cache, in the order in which it will read them. No number depends on it. */
#include "runtime/internal.h"

enum {
    LINE = 64,
    AT_ONCE = 8,           /* lines between two looks at the barrier */
    MOST_AHEAD = 256 << 10 /* bytes: of a cache of 1 MiB, beside activations */
};

bool
rt_step_has_few(const AbiStep *step, const AbiCall *call)
{
    return call && call->rows <= step->few;
}

void
rt_ahead_turn(RtAhead *ahead, const RtRun *run, AbiRange range, int i, int thread)
{
    const int end = range.first + range.count;
    if (ahead->step >= i)
        return;
    ahead->next = ahead->to = NULL;
    while (i < end && !rt_step_has_few(&run->abi->steps[i], run->call))
        i++;
    ahead->step = i;
    if (i == end)
        return;
    const AbiStep *step = &run->abi->steps[i];
    const int threads = rt_pool_threads(run->pool);
    const char *panels = run->operand[step->first_operand + step->weight];
    const int64_t from = step->panels * thread / threads * step->panel_bytes;
    const int64_t to = step->panels * (thread + 1) / threads * step->panel_bytes;
    ahead->next = panels + from;
    ahead->to = panels + (to - from < MOST_AHEAD ? to : from + MOST_AHEAD);
}

bool
rt_ahead_ask(RtAhead *ahead)
{
    for (int i = 0; i < AT_ONCE && ahead->next < ahead->to; i++) {
        __builtin_prefetch(ahead->next, 0, 2);
        ahead->next += LINE;
    }
    return ahead->next < ahead->to;
}
