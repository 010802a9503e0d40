/* driver/explore_options.c -- the options of ssmc explore. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/explore.h"

const OptId axis_option[AXIS_COUNT] = {
    [AXIS_state] = OPT_state, [AXIS_head_dim] = OPT_head_dim, [AXIS_groups] = OPT_groups};
const char *const explore_form_name[FORM_COUNT] = {
    [FORM_recurrent] = "recurrent", [FORM_chunked] = "chunked", [FORM_quadratic] = "quadratic"};

static int
int_order(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Ascending, each once: what is asked for twice is one point. */
static void
list_settle(IntList *list)
{
    int kept = 0;
    qsort(list->n, (size_t)list->count, sizeof *list->n, int_order);
    for (int i = 0; i < list->count; i++)
        if (kept == 0 || list->n[kept - 1] != list->n[i])
            list->n[kept++] = list->n[i];
    list->count = kept;
}

/* A list that was given must say something. */
static bool
axis_parse(Options *o, OptId id, int64_t most, IntList *out)
{
    if (!opt_text(o, id))
        return true;
    if (!opt_text(o, id)[0]) {
        option_fault(o, id, "--%s is an empty list", opt_info[id].name);
        return false;
    }
    if (!list_parse(o, id, 1, most, out))
        return false;
    list_settle(out);
    return true;
}

/* The words of a list, each handed to `take`; false: the fault has been printed. */
static bool
words_parse(Wish *w, OptId id, bool (*take)(Wish *w, const char *word, size_t len),
            const char *wants)
{
    const char *at = opt_text(w->o, id);
    for (; at; at = *at ? at + 1 : NULL) {
        const size_t len = strcspn(at, ",");
        if (!take(w, at, len)) {
            option_fault(w->o, id, "--%s wants %s, separated by commas, not '%s'",
                         opt_info[id].name, wants, opt_text(w->o, id));
            return false;
        }
        at += len;
    }
    return true;
}

static bool
take_format(Wish *w, const char *word, size_t len)
{
    Format f;
    if (!format_by_name(word, len, &f))
        return false;
    for (int i = 0; i < w->nformats; i++)
        if (w->formats[i] == f)
            return true;
    w->formats[w->nformats++] = f;
    return true;
}

static bool
take_form(Wish *w, const char *word, size_t len)
{
    for (int f = 0; f < FORM_COUNT; f++) {
        if (strlen(explore_form_name[f]) != len || memcmp(explore_form_name[f], word, len) != 0)
            continue;
        w->form[f] = true;
        return true;
    }
    return false;
}

static bool
hold_parse(Wish *w)
{
    static const char *const names[] = {HOLDS(WORD_TEXT)};
    for (int h = 0; h < HOLD_COUNT; h++) {
        if (strcmp(opt_text(w->o, OPT_hold), names[h]) != 0)
            continue;
        w->hold = (Hold)h;
        return true;
    }
    option_fault(w->o, OPT_hold, "--hold wants params, state or none, not '%s'",
                 opt_text(w->o, OPT_hold));
    return false;
}

/* A number and s, m or h; without a letter seconds. */
static bool
budget_parse(Wish *w)
{
    const char *text = opt_text(w->o, OPT_budget);
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
    option_fault(w->o, OPT_budget,
                 "--budget wants a time from 1s to 30 days, such as 90s, 10m or 1h, not '%s'",
                 text);
    return false;
}

static bool
counts_parse(Wish *w)
{
    Options *o = w->o;
    enum { MOST_SIZE = 65536, MOST_TOKENS = 1 << 24 };
    for (int a = 0; a < AXIS_COUNT; a++)
        if (!axis_parse(o, axis_option[a], MOST_SIZE, &w->axis[a]))
            return false;
    if (!axis_parse(o, OPT_chunk, MOST_SIZE, &w->chunk) ||
        !axis_parse(o, OPT_explore_tokens, MOST_TOKENS, &w->tokens))
        return false;
    if (opt_given(o, OPT_threads) && !opt_text(o, OPT_threads)[0])
        return axis_parse(o, OPT_threads, MOST_SIZE, &w->threads);
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

/* Options that go together. */
static int
check_files(const Options *o)
{
    if (opt_given(o, OPT_resume) && !opt_text(o, OPT_csv))
        return option_fault(o, OPT_resume, "--resume goes on with a file: say which with --csv");
    if (o->value[OPT_repeats].i < 1 || o->value[OPT_repeats].i > BENCH_MAX_REPEATS)
        return option_fault(o, OPT_repeats, "--repeats must be 1 to %d", BENCH_MAX_REPEATS);
    return EXIT_DONE;
}

int
wish_parse(Options *o, Wish *w)
{
    static const int64_t usual_chunks[] = {16, 32, 64, 128, 256};
    *w = (Wish){.o = o, .arena = o->arena};
    if (!counts_parse(w) || !hold_parse(w) || !budget_parse(w) ||
        !words_parse(w, OPT_dtype, take_format, "f32, f16, bf16, int8 or int4") ||
        !words_parse(w, OPT_form, take_form, "recurrent, chunked or quadratic"))
        return EXIT_BAD_INPUT;
    if (!opt_text(o, OPT_form))
        w->form[FORM_recurrent] = w->form[FORM_chunked] = true;
    for (size_t i = 0; w->chunk.count == 0 && i < COUNT_OF(usual_chunks); i++)
        w->chunk.n[i] = usual_chunks[i];
    if (w->chunk.count == 0)
        w->chunk.count = (int)COUNT_OF(usual_chunks);
    return check_files(o);
}
