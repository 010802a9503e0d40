/* driver/running.c -- options of running: how the next token is drawn, by how many threads, and how
 * many tokens a sequence can hold. */
#include <math.h>
#include <stdlib.h>

#include "driver/driver.h"

bool
sampling_from(const Options *o, ssmc_sampling *how)
{
    const OptValue *v = o->value;
    *how = (ssmc_sampling){.temperature = opt_given(o, OPT_greedy) ? 0 : v[OPT_temperature].num,
                           .top_k = (int)v[OPT_top_k].i,
                           .top_p = v[OPT_top_p].num,
                           .min_p = v[OPT_min_p].num,
                           .repeat_penalty = v[OPT_repeat_penalty].num,
                           .presence_penalty = v[OPT_presence_penalty].num,
                           .frequency_penalty = v[OPT_frequency_penalty].num,
                           .seed = (uint64_t)v[OPT_seed].i};
    const struct {
        OptId id;
        bool ok;
        const char *want;
    } rules[] = {
        {OPT_temperature,       v[OPT_temperature].num >= 0 && v[OPT_temperature].num <= 1e6,       "0 to 1e6"   },
        {OPT_top_k,             v[OPT_top_k].i >= 0 && v[OPT_top_k].i <= INT32_MAX,                 "0 or more"  },
        {OPT_top_p,             v[OPT_top_p].num >= 0 && v[OPT_top_p].num <= 1,                     "0 to 1"     },
        {OPT_min_p,             v[OPT_min_p].num >= 0 && v[OPT_min_p].num <= 1,                     "0 to 1"     },
        {OPT_repeat_penalty,    v[OPT_repeat_penalty].num >= 0 && v[OPT_repeat_penalty].num <= 1e6,
         "0 to 1e6"                                                                                              },
        {OPT_presence_penalty,  fabs(v[OPT_presence_penalty].num) <= 100,                           "-100 to 100"},
        {OPT_frequency_penalty, fabs(v[OPT_frequency_penalty].num) <= 100,                          "-100 to 100"},
        {OPT_tokens,            v[OPT_tokens].i >= 0,                                               "0 or more"  },
    };
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (rules[i].ok)
            continue;
        option_fault(o, rules[i].id, "--%s %s is out of range: it must be %s",
                     opt_info[rules[i].id].name, opt_text(o, rules[i].id), rules[i].want);
        return false;
    }
    return true;
}

int
threads_from(const Options *o, int *threads)
{
    const char *text = opt_text(o, OPT_threads);
    char *end = NULL;
    const long n = text ? strtol(text, &end, 10) : 0;
    if (text && (end == text || *end || n < 0 || n > 1024))
        return option_fault(o, OPT_threads, "--threads wants 0 to 1024, not '%s'", text);
    *threads = n > 0 ? (int)n : rt_cores();
    return EXIT_DONE;
}

int
context_from(const Options *o, int64_t *tokens)
{
    const int64_t most = INT32_MAX / 64 * 64;
    *tokens = o->value[OPT_context].i;
    if (*tokens < 1 || *tokens > most)
        return option_fault(o, OPT_context, "--context %s is out of range: it must be 1 to %lld",
                            opt_text(o, OPT_context), (long long)most);
    return EXIT_DONE;
}
