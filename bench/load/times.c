/* bench/load/times.c -- see load.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load.h"

double
clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void
times_add(Times *times, double seconds)
{
    const double at = seconds > 1e-6 ? log2(seconds * 1e6) * TIMES_STEPS : 0;
    const int last = TIMES_BUCKETS - 1;
    times->buckets[at < last ? (int)at : last]++;
    times->count++;
}

double
times_at(const Times *times, double share)
{
    const double wanted = share * (double)times->count;
    uint64_t below = 0;
    for (int i = 0; i < TIMES_BUCKETS; i++) {
        below += times->buckets[i];
        if (below > 0 && (double)below >= wanted)
            return 1e-6 * exp2((double)(i + 1) / TIMES_STEPS);
    }
    return NAN;
}

int64_t
resident(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "r");
    long long whole, here;
    const bool read = f && fscanf(f, "%lld %lld", &whole, &here) == 2;
    if (f)
        fclose(f);
    return read ? here * sysconf(_SC_PAGESIZE) : -1;
}
