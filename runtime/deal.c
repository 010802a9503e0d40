/* runtime/deal.c -- the parts of a step, dealt to threads.
 *
 * Every thread has a hand of `pieces` parts that follow each other, which it plays in order. Who
 * has none left plays the next of whoever has most. What a hand has lost is one number, so that a
 * thread that nobody helps only ever touches a line of its own.
 *
 * There are two sets of hands: while one is played each thread makes its own of the other whole
 * again. A barrier lies between two steps, so that no one plays from a set that is being made. */
#include "runtime/internal.h"

static RtHand *
set_of(RtHand *hands, int turn, int threads)
{
    return hands + (turn & 1) * threads;
}

void
rt_deal_begin(RtHand *hands, int threads)
{
    for (int i = 0; i < threads; i++)
        atomic_store_explicit(&hands[i].played, 0, memory_order_relaxed);
}

void
rt_deal_next(RtHand *hands, int turn, int thread, int threads)
{
    RtHand *own = &set_of(hands, turn + 1, threads)[thread];
    atomic_store_explicit(&own->played, 0, memory_order_relaxed);
}

static int
left_of(const RtHand *hand, int pieces)
{
    return pieces - atomic_load_explicit(&hand->played, memory_order_relaxed);
}

/* The next part of a thread's hand, or -1. Looking first keeps the number near `pieces`. */
static int64_t
play(RtHand *set, int thread, int pieces)
{
    if (left_of(&set[thread], pieces) <= 0)
        return -1;
    const int n = atomic_fetch_add_explicit(&set[thread].played, 1, memory_order_relaxed);
    return n < pieces ? (int64_t)thread * pieces + n : -1;
}

/* The thread with most left; -1: none has any. */
static int
fullest(const RtHand *set, int threads, int pieces)
{
    int best = -1, most = 0;
    for (int i = 0; i < threads; i++) {
        const int left = left_of(&set[i], pieces);
        if (left > most) {
            most = left;
            best = i;
        }
    }
    return best;
}

int64_t
rt_deal_part(RtHand *hands, int turn, int thread, int threads, int pieces)
{
    RtHand *set = set_of(hands, turn, threads);
    int64_t part = play(set, thread, pieces);
    while (part < 0) {
        const int from = fullest(set, threads, pieces);
        if (from < 0)
            return -1;
        part = play(set, from, pieces);
    }
    return part;
}
