/* runtime/steal.c -- the parts of a step, by thread, with work stealing.
 *
 * Each thread owns a contiguous range of `pieces` parts and takes them in order. A thread whose
 * range is empty steals the next part of the thread with the most left. One number a range counts
 * the parts that were taken, by the owner or by thieves, so that a thread
 * whose range is left alone touches a cache line of its own only.
 *
 * There are two sets of ranges. While threads take parts from one, each refills its own range of
 * the other. A barrier lies between two steps, so no thread takes from a set that is refilled. */
#include "runtime/internal.h"

static RtParts *
set_of(RtParts *ranges, int turn, int threads)
{
    return ranges + (turn & 1) * threads;
}

void
rt_steal_begin(RtParts *ranges, int threads)
{
    for (int i = 0; i < threads; i++)
        atomic_store_explicit(&ranges[i].taken, 0, memory_order_relaxed);
}

void
rt_steal_refill(RtParts *ranges, int turn, int thread, int threads)
{
    RtParts *own = &set_of(ranges, turn + 1, threads)[thread];
    atomic_store_explicit(&own->taken, 0, memory_order_relaxed);
}

static int
left_of(const RtParts *range, int pieces)
{
    return pieces - atomic_load_explicit(&range->taken, memory_order_relaxed);
}

/* The next part of a thread's range, or -1. The load before the addition keeps the counter near
 * `pieces`, however often empty ranges are asked. */
static int64_t
take(RtParts *set, int owner, int pieces)
{
    if (left_of(&set[owner], pieces) <= 0)
        return -1;
    const int n = atomic_fetch_add_explicit(&set[owner].taken, 1, memory_order_relaxed);
    return n < pieces ? (int64_t)owner * pieces + n : -1;
}

/* The thread with the most parts left; -1: every range is empty. */
static int
fullest(const RtParts *set, int threads, int pieces)
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
rt_steal_part(RtParts *ranges, int turn, int thread, int threads, int pieces)
{
    RtParts *set = set_of(ranges, turn, threads);
    int64_t part = take(set, thread, pieces);
    while (part < 0) {
        const int victim = fullest(set, threads, pieces);
        if (victim < 0)
            return -1;
        part = take(set, victim, pieces);
    }
    return part;
}
