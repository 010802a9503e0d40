/* driver/cmd_explore.c -- ssmc explore: sizes, chunk lengths and types measured over this machine,
 * as a table, a file of results that can be gone on with, and a page. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver/driver.h"
#include "explore/sweep.h"

/* Ctrl-C: the run ends after what is being measured. Pressed again later it ends at once; what
 * comes within a second is the same wish, as programs that run others may pass it on twice. A
 * handler can reach nothing but this: nanoseconds of the clock, 0: not interrupted. */
static atomic_llong interrupted_at;
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a handler may only use atomics without a lock");

static bool
is_interrupted(void)
{
    return atomic_load(&interrupted_at) != 0;
}

static void
on_interrupt(int number)
{
    enum { SECOND = 1000000000 };
    struct timespec now;
    long long before = 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const long long at = (long long)now.tv_sec * SECOND + now.tv_nsec;
    if (atomic_compare_exchange_strong(&interrupted_at, &before, at) || at - before <= SECOND)
        return;
    signal(number, SIG_DFL);
    raise(number);
}

static void
watch_interrupts(void)
{
    struct sigaction act = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaddset(&act.sa_mask, SIGINT);
    sigaddset(&act.sa_mask, SIGTERM);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

/* ---- options ------------------------------------------------------------------------------- */

/* A list that was given must say something. */
static bool
axis_parse(const Options *o, OptId id, int64_t least, int64_t most, IntList *out)
{
    if (!opt_text(o, id))
        return true;
    if (!opt_text(o, id)[0]) {
        option_fault(o, id, "--%s is an empty list", opt_info[id].name);
        return false;
    }
    if (!list_parse(o, id, least, most, out))
        return false;
    list_settle(out);
    return true;
}

/* The words of --dtype or of --form. False: the fault has been printed. */
static bool
words_parse(const Options *o, Wish *w, OptId id, const char *wants)
{
    const char *at = opt_text(o, id);
    for (size_t len; at; at = at[len] ? at + len + 1 : NULL) {
        Format format;
        Form form;
        len = strcspn(at, ",");
        if (id == OPT_form && form_by_name(arena_strndup(o->arena, at, len), &form) &&
            form != FORM_AUTO) {
            w->form[form] = true;
        } else if (id == OPT_dtype && format_by_name(at, len, &format)) {
            int i = 0;
            while (i < w->nformats && w->formats[i] != format)
                i++;
            w->formats[i] = format;
            w->nformats += i == w->nformats;
        } else {
            option_fault(o, id, "--%s wants %s, separated by commas, not '%s'", opt_info[id].name,
                         wants, opt_text(o, id));
            return false;
        }
    }
    return true;
}

static bool
hold_parse(const Options *o, Wish *w)
{
    for (int h = 0; h < HOLD_COUNT; h++) {
        if (strcmp(opt_text(o, OPT_hold), hold_name[h]) != 0)
            continue;
        w->hold = (Hold)h;
        return true;
    }
    option_fault(o, OPT_hold, "--hold wants params, state or none, not '%s'",
                 opt_text(o, OPT_hold));
    return false;
}

/* A number and s, m or h; without a letter seconds. */
static bool
budget_parse(const Options *o, Wish *w)
{
    const char *text = opt_text(o, OPT_budget);
    if (!text)
        return true;
    char *end = NULL;
    const double n = strtod(text, &end);
    const double unit = strcmp(end, "h") == 0   ? 3600
                        : strcmp(end, "m") == 0 ? 60
                        : strcmp(end, "s") == 0 ? 1
                        : *end == '\0'          ? 1
                                                : 0;
    w->budget = n * unit;
    if (end != text && w->budget >= 1 && w->budget <= 30 * 24 * 3600.0)
        return true;
    option_fault(o, OPT_budget,
                 "--budget wants a time from 1s to 30 days, such as 90s, 10m or 1h, not '%s'",
                 text);
    return false;
}

static bool
counts_parse(const Options *o, Wish *w)
{
    enum { MOST_SIZE = 65536, MOST_LAYERS = 1024, MOST_TOKENS = 1 << 24 };
    static const struct {
        OptId id;
        int64_t least, most;
    } axis[AXIS_COUNT] = {
        [AXIS_attention] = {OPT_attention, 0, MOST_LAYERS},
        [AXIS_state] = {OPT_state,     1, MOST_SIZE  },
        [AXIS_head_dim] = {OPT_head_dim,  1, MOST_SIZE  },
        [AXIS_groups] = {OPT_groups,    1, MOST_SIZE  },
    };
    for (int a = 0; a < AXIS_COUNT; a++)
        if (!axis_parse(o, axis[a].id, axis[a].least, axis[a].most, &w->axis[a]))
            return false;
    if (!axis_parse(o, OPT_chunk, 1, MOST_SIZE, &w->chunk) ||
        !axis_parse(o, OPT_explore_tokens, 1, MOST_TOKENS, &w->tokens))
        return false;
    if (opt_given(o, OPT_threads) && !opt_text(o, OPT_threads)[0])
        return axis_parse(o, OPT_threads, 1, MOST_SIZE, &w->threads);
    if (!list_threads(o, BENCH_MAX_THREADS, &w->threads))
        return false;
    list_settle(&w->threads);
    const int threads = w->threads.count > 0 ? w->threads.count : 1;
    if (threads * (w->tokens.count + 1) <= BENCH_MAX_ITEMS)
        return true;
    option_fault(o, OPT_explore_tokens,
                 "%d lengths by %d numbers of threads are more than %d measurements of a point",
                 w->tokens.count, threads, BENCH_MAX_ITEMS);
    return false;
}

/* False: the fault has been printed. */
static bool
wish_parse(const Options *o, Wish *w)
{
    static const IntList usual_chunks = {
        {16, 32, 64, 128, 256},
        5
    };
    *w = (Wish){.arena = o->arena,
                .started = rt_now(),
                .repeats = (int)o->value[OPT_repeats].i,
                .csv = opt_text(o, OPT_csv),
                .html = opt_text(o, OPT_html),
                .resume = opt_given(o, OPT_resume),
                .interrupted = is_interrupted};
    if (!counts_parse(o, w) || !hold_parse(o, w) || !budget_parse(o, w) ||
        !words_parse(o, w, OPT_dtype, "f32, f16, bf16, int8, int4 or stored") ||
        !words_parse(o, w, OPT_form, "recurrent, chunked or quadratic"))
        return false;
    if (!opt_text(o, OPT_form))
        w->form[FORM_RECURRENT] = w->form[FORM_CHUNKED] = true;
    if (w->chunk.count == 0)
        w->chunk = usual_chunks;
    if (w->resume && !w->csv)
        option_fault(o, OPT_resume, "--resume goes on with a file: say which with --csv");
    else if (o->value[OPT_repeats].i < 1 || o->value[OPT_repeats].i > BENCH_MAX_REPEATS)
        option_fault(o, OPT_repeats, "--repeats must be 1 to %d", BENCH_MAX_REPEATS);
    else
        return true;
    return false;
}

/* The model as it is: options that are lists here are axes of the sweep. */
static int
describe(const Options *o, const Wish *w, Job *job)
{
    static const OptId axes[] = {OPT_form, OPT_chunk, OPT_dtype};
    Options rest = *o;
    Settings settings;
    for (size_t i = 0; i < COUNT_OF(axes); i++)
        rest.value[axes[i]].given = false;
    if (o->model && is_text_graph(o->model))
        return fault(EXIT_BAD_INPUT,
                     "%s is a graph: its sizes are fixed; ssmc explore wants a description",
                     o->model);
    const int status = settings_with_threads(&rest, &w->threads, &settings);
    return status == EXIT_DONE ? model_describe_by(job, o, &settings, false) : status;
}

int
cmd_explore(Options *o)
{
    Wish wish;
    Job job = {0};
    ExploreTable table;
    bool made = false;
    if (!wish_parse(o, &wish))
        return EXIT_BAD_INPUT;
    watch_interrupts();
    wish.described = &job;
    int status = describe(o, &wish, &job);
    if (status == EXIT_DONE)
        status = explore_run(&wish, &table, &made);
    if (made) {
        StrBuf out = {0};
        (opt_given(o, OPT_json) ? explore_put_json : explore_put_text)(&out, &table);
        fputs(sb_text(&out), stdout);
        sb_free(&out);
    }
    job_end(&job);
    return status;
}
