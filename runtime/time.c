/* runtime/time.c -- the clock, and how many cores there are to use. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "runtime/internal.h"

double
rt_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Cores' worth of time a container grants ("200000 100000": 2), or `most` when it sets no bound. */
static int
cgroup_cores(int most)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    long long quota = 0, period = 0;
    if (!file)
        return most;
    const bool bound = fscanf(file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0;
    fclose(file);
    const long long cores = bound ? (quota + period - 1) / period : most;
    return cores < most ? (int)cores : most;
}

int
rt_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    return cgroup_cores(cores < 1 ? 1 : cores > RT_MAX_THREADS ? RT_MAX_THREADS : (int)cores);
}

bool
rt_threads_resolve(int *threads)
{
    if (*threads < 0 || *threads > RT_MAX_THREADS)
        return false;
    if (*threads == 0)
        *threads = rt_cores();
    return true;
}
