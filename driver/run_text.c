/* driver/run_text.c -- the text of ssmc run: its ids, how many of them the model has read, and the
 * files that states come from and go to. */
#include "driver/run_text.h"

#include <stdlib.h>
#include <string.h>

/* Tokens between two states that a long prompt leaves in the cache; of states that grow, before the
 * first, and then as many as before: together they are no more than twice the last. */
enum { CACHE_EVERY = 2048 };

/* ---- options ------------------------------------------------------------------------------- */

int
run_text_check(const Options *o)
{
    const int64_t limit = o->value[OPT_cache_limit].i;
    if (limit < 1 || limit > INT64_MAX >> 20)
        return option_fault(o, OPT_cache_limit, "--cache-limit %s: a number of MiB, at least 1",
                            opt_text(o, OPT_cache_limit));
    if (opt_given(o, OPT_load_state) && opt_given(o, OPT_cache_dir))
        return option_fault(o, OPT_cache_dir,
                            "--cache-dir and --load-state both say where to begin: give one");
    return EXIT_DONE;
}

void
run_text_add(RunText *text, int32_t id)
{
    VEC_PUSH(text->job->arena, text->ids, text->count, text->cap, id);
}

/* ---- saved states -------------------------------------------------------------------------- */

/* The note of a state that ssmc run saves: this, then the ids. The last `unread` of them are known,
 * but the model has not read them. */
typedef struct {
    char tag[12];
    int32_t unread;
} RunNote;
static const char note_tag[12] = "ssmc run 1";

static int
note_read(RunText *text, const char *path, const char *note, size_t bytes)
{
    RunNote head;
    if (bytes < sizeof head || memcmp(note, note_tag, sizeof note_tag) != 0)
        return EXIT_DONE; /* saved by another program: which tokens they were is not known */
    memcpy(&head, note, sizeof head);
    const size_t count = (bytes - sizeof head) / sizeof *text->ids;
    const int64_t vocab = ssmc_model_vocab(text->job->model);
    bool ok = count <= INT32_MAX / 2 && head.unread >= 0 && (size_t)head.unread <= count;
    for (size_t i = 0; i < count && ok; i++) {
        int32_t id = 0;
        memcpy(&id, note + sizeof head + i * sizeof id, sizeof id);
        ok = id >= 0 && id < vocab;
        run_text_add(text, id);
    }
    if (!ok)
        return fault(EXIT_BAD_INPUT, "%s is broken: its note has ids that cannot be", path);
    text->read = text->count - head.unread;
    return EXIT_DONE;
}

int
run_text_save(const RunText *text)
{
    const char *path = opt_text(text->o, OPT_save_state);
    if (!path)
        return EXIT_DONE;
    RunNote head = {.unread = text->count - text->read};
    const size_t bytes = (size_t)text->count * sizeof *text->ids;
    char *note = arena_alloc(text->job->arena, sizeof head + bytes);
    memcpy(head.tag, note_tag, sizeof head.tag);
    memcpy(note, &head, sizeof head);
    memcpy(note + sizeof head, text->ids, bytes);
    const ssmc_status status = ssmc_state_save(text->session, 0, path, note, sizeof head + bytes);
    return status == SSMC_OK ? EXIT_DONE : runtime_fault(status);
}

int
run_text_open(RunText *text, const Options *o, Job *job, ssmc_session *session, RunGrammar *grammar)
{
    *text = (RunText){.o = o, .job = job, .session = session, .grammar = grammar};
    const char *load = opt_text(o, OPT_load_state), *dir = opt_text(o, OPT_cache_dir);
    if (load) {
        void *note = NULL;
        size_t bytes = 0;
        const ssmc_status status = ssmc_state_load(session, 0, load, &note, &bytes);
        const int done =
            status == SSMC_OK ? note_read(text, load, note, bytes) : runtime_fault(status);
        free(note);
        return done;
    }
    if (!dir)
        return EXIT_DONE;
    const uint64_t limit = (uint64_t)o->value[OPT_cache_limit].i << 20;
    if (ssmc_cache_open(dir, limit, &text->cache) != SSMC_OK)
        note("--cache-dir: %s", ssmc_error());
    return EXIT_DONE;
}

void
run_text_close(RunText *text)
{
    ssmc_cache_close(text->cache);
    text->cache = NULL;
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The bar of a text that is read in several calls. */
typedef struct {
    Progress bar;
    int done, total; /* tokens: before this call, and of all calls */
} ReadBar;

static void
on_read(void *user, int64_t done, int64_t total)
{
    ReadBar *b = user;
    (void)total;
    progress_step(&b->bar, b->done + done, b->total);
}

/* Reads n tokens; *next: drawn by the sampler, unless that is NULL. */
static ssmc_status
draw(const RunText *text, int n, ssmc_sampler *sampler, int32_t *next)
{
    RunGrammar *grammar = text->grammar;
    if (sampler && grammar->grammar) {
        const ssmc_status status =
            ssmc_prefill(text->session, 0, text->ids + text->read, n, grammar->logits);
        *next = status == SSMC_OK ? run_grammar_draw(grammar, sampler) : -1;
        return status;
    }
    ssmc_turn turn = {.ids = text->ids + text->read, .count = n, .sampler = sampler};
    const ssmc_status status = ssmc_draw(text->session, &turn, 1);
    *next = turn.id;
    return status;
}

static ssmc_status
read_to(RunText *text, ReadBar *bar, int end, ssmc_sampler *sampler, int32_t *next)
{
    const int n = end - text->read;
    const ssmc_status status = n > 0 ? draw(text, n, sampler, next) : SSMC_OK;
    if (status != SSMC_OK)
        return status;
    text->read = end;
    text->fed += n;
    bar->done += n;
    return SSMC_OK;
}

/* The first fault is said once the bar is gone. */
static void
on_cache_fault(RunText *text)
{
    if (!text->cache_fault)
        text->cache_fault = arena_strdup(text->job->arena, ssmc_error());
}

/* The next place for a state, which depends on nothing but the text. */
static int
next_place(const RunText *text)
{
    if (ssmc_room(text->session) == INT64_MAX)
        return (text->read / CACHE_EVERY + 1) * CACHE_EVERY;
    int place = CACHE_EVERY;
    while (place <= text->read && place <= INT32_MAX / 2)
        place *= 2;
    return place > text->read ? place : INT32_MAX;
}

/* Up to the last token but one, from the cache what it has: the last must be read in any case, for
 * its logits, and it is the one that may be another when the text goes on. States are left at
 * places that do not depend on what the cache had, and at the end. */
static ssmc_status
read_cached(RunText *text, ReadBar *bar)
{
    const int end = text->count - 1;
    int64_t taken = 0;
    int32_t none;
    bool keeps = true;
    if (ssmc_cache_take(text->cache, text->session, 0, text->ids, end, &taken) != SSMC_OK)
        on_cache_fault(text);
    text->read = text->cached = (int)taken;
    bar->total -= text->cached;
    ssmc_status status = SSMC_OK;
    while (status == SSMC_OK && text->read < end) {
        const int next = next_place(text);
        status = read_to(text, bar, next < end ? next : end, NULL, &none);
        if (status != SSMC_OK || !keeps)
            continue;
        keeps = ssmc_cache_put(text->cache, text->session, 0, text->ids, text->read) == SSMC_OK;
        if (!keeps)
            on_cache_fault(text);
    }
    return status;
}

int
run_text_read(RunText *text, ssmc_sampler *sampler, int32_t *next)
{
    const Options *o = text->o;
    const bool goes_on = o->value[OPT_tokens].i > 0 || !opt_given(o, OPT_save_state);
    ReadBar bar = {.bar = progress_start("reading the prompt"), .total = text->count - text->read};
    ssmc_session_on_progress(text->session, on_read, &bar);
    ssmc_status status = text->cache ? read_cached(text, &bar) : SSMC_OK;
    if (status == SSMC_OK)
        status = read_to(text, &bar, goes_on ? text->count : text->count - 1, sampler, next);
    ssmc_session_on_progress(text->session, NULL, NULL);
    progress_end(&bar.bar);
    if (text->cache_fault)
        note("--cache-dir: %s", text->cache_fault);
    return status == SSMC_OK ? EXIT_DONE : runtime_fault(status);
}

ssmc_status
run_text_step(RunText *text, ssmc_sampler *sampler, int32_t *next)
{
    const ssmc_status status = draw(text, 1, sampler, next);
    text->read += status == SSMC_OK;
    return status;
}
