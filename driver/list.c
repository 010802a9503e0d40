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
        const bool in_range = errno == 0 && n >= least && n <= most && out->count < MAX_LIST;
        if (end == at || !in_range || (*end != ',' && *end != '\0')) {
            option_fault(o, id,
                         "--%s wants up to %d whole numbers from %lld to %lld, separated by "
                         "commas, not '%s'",
                         opt_info[id].name, (int)MAX_LIST, (long long)least, (long long)most, text);
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
list_threads(Options *o, int count, IntList *out)
{
    int64_t most = 0;
    if (!opt_given(o, OPT_threads))
        return true;
    if (!list_parse(o, OPT_threads, 0, BENCH_MAX_THREADS_A_RUN, out))
        return false;
    if (out->count > count) {
        option_fault(o, OPT_threads, "--threads has %d numbers; at most %d are measured",
                     out->count, count);
        return false;
    }
    for (int i = 0; i < out->count; i++) {
        if (out->n[i] == 0)
            out->n[i] = rt_cores();
        most = out->n[i] > most ? out->n[i] : most;
    }
    o->value[OPT_threads].text = arena_printf(o->arena, "%lld", (long long)most);
    return true;
}
