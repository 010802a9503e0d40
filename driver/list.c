/* driver/list.c -- options that are lists. */
#include <errno.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "driver/driver.h"

bool
list_parse(const Options *o, OptId id, int64_t least, int64_t most, IntList *out)
{
    const char *text = opt_text(o, id), *at = text;
    while (*text) {
        char *end = NULL;
        errno = 0;
        const long long n = strtoll(at, &end, 10);
        const bool in_range = errno == 0 && n >= least && n <= most && out->count < INT_LIST_MOST;
        if (end == at || !in_range || (*end != ',' && *end != '\0')) {
            option_fault(o, id,
                         "--%s wants up to %d whole numbers from %lld to %lld, separated by "
                         "commas, not '%s'",
                         opt_info[id].name, (int)INT_LIST_MOST, (long long)least, (long long)most,
                         text);
            return false;
        }
        out->n[out->count++] = n;
        if (*end == '\0')
            return true;
        at = end + 1;
    }
    return true;
}

bool
list_threads(const Options *o, int count, IntList *out)
{
    if (!opt_given(o, OPT_threads))
        return true;
    if (!list_parse(o, OPT_threads, 0, BENCH_MAX_THREADS_A_RUN, out))
        return false;
    if (out->count > count) {
        option_fault(o, OPT_threads, "--threads has %d numbers; at most %d are measured",
                     out->count, count);
        return false;
    }
    for (int i = 0; i < out->count; i++)
        if (out->n[i] == 0)
            out->n[i] = rt_cores();
    return true;
}

int
list_most(const IntList *list)
{
    int64_t most = 0;
    for (int i = 0; i < list->count; i++)
        most = list->n[i] > most ? list->n[i] : most;
    return (int)most;
}

void
list_settle(IntList *list)
{
    int kept = 0;
    qsort(list->n, (size_t)list->count, sizeof *list->n, int64_order);
    for (int i = 0; i < list->count; i++)
        if (kept == 0 || list->n[kept - 1] != list->n[i])
            list->n[kept++] = list->n[i];
    list->count = kept;
}
