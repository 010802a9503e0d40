/* tests/unit/test_run_state.c -- ssmc run with --save-state, --load-state and --cache-dir, as its
 * users call it. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define GOLDEN    SSMC_ROOT "/tests/goldens/mamba2-base"
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ssmc run STORYTELLER --greedy and more; must end with `status`. */
static CommandResult
run(int status, const char *const *more)
{
    const char *argv[32] = {SSMC_BINARY, "run", STORYTELLER, "--greedy"};
    for (size_t n = 4; *more; n++) {
        cr_assert_lt(n, 31u);
        argv[n] = *more++;
    }
    const CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, status, "status %d: %s", r.status, r.err);
    return r;
}

/* The same of a model with growing states. */
static CommandResult
run_hybrid(int status, const char *const *more)
{
    const char *argv[32] = {SSMC_BINARY, "run", HYBRID, "--greedy"};
    for (size_t n = 4; *more; n++) {
        cr_assert_lt(n, 31u);
        argv[n] = *more++;
    }
    const CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, status, "status %d: %s", r.status, r.err);
    return r;
}

static void
expect_fault(const char *const *args, const char *says)
{
    CommandResult r = run(2, args);
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    command_free(&r);
}

/* What two runs say together. */
static void
expect_texts(const char *want, const CommandResult *a, const CommandResult *b, const char *what)
{
    StrBuf text = {0};
    sb_puts(&text, a->out);
    sb_puts(&text, b->out);
    cr_expect_str_eq(sb_text(&text), want, "%s", what);
    sb_free(&text);
}

#define PROMPT "Once upon a time"

Test(run_state, a_saved_text_goes_on_as_if_it_had_not_stopped)
{
    char *dir = temp_dir(), *path = path_join(dir, "s.state"), *more = path_join(dir, "t.state");
    static const char *const first[] = {"0", "1", "15"}, *const second[] = {"40", "39", "25"};
    CommandResult whole = run(0, ARGS("-p", PROMPT, "-n", "40"));
    for (size_t i = 0; i < COUNT_OF(first); i++) {
        CommandResult a = run(0, ARGS("-p", PROMPT, "-n", first[i], "--save-state", path));
        CommandResult b = run(0, ARGS("--load-state", path, "-n", second[i]));
        expect_texts(whole.out, &a, &b, first[i]);
        command_free(&a);
        command_free(&b);
    }
    /* In three parts, the second saved over what it was loaded from. */
    CommandResult a = run(0, ARGS("--load-state", path, "-n", "7", "--save-state", path));
    CommandResult b = run(0, ARGS("--load-state", path, "-n", "18", "--save-state", more));
    CommandResult c = run(0, ARGS("-p", PROMPT, "-n", "15"));
    StrBuf text = {0};
    sb_printf(&text, "%s%s%s", c.out, a.out, b.out);
    cr_expect_str_eq(sb_text(&text), whole.out);
    sb_free(&text);
    command_free(&a);
    command_free(&b);
    command_free(&c);
    command_free(&whole);
    temp_dir_remove(dir);
    free(path);
    free(more);
}

Test(run_state, a_prompt_comes_after_the_saved_text)
{
    char *dir = temp_dir(), *path = path_join(dir, "s.state");
    CommandResult whole =
        run(0, ARGS("-p", PROMPT " there was a king", "-n", "20", "--reproducible"));
    CommandResult a = run(0, ARGS("-p", PROMPT, "-n", "0", "--save-state", path, "--reproducible"));
    CommandResult b =
        run(0, ARGS("--load-state", path, "-p", " there was a king", "-n", "20", "--reproducible"));
    expect_texts(whole.out, &a, &b, "prompt in two parts");
    command_free(&a);
    command_free(&b);
    command_free(&whole);
    temp_dir_remove(dir);
    free(path);
}

/* A state that another program saved has no ids: it goes on, but only with a prompt. */
Test(run_state, a_state_without_a_note)
{
    char *dir = temp_dir(), *path = path_join(dir, "s.state");
    static const int32_t ids[] = {1893, 338, 626, 259, 547}; /* PROMPT */
    ModelRun *model = MODEL_RUN(STORYTELLER, "--reproducible");
    ssmc_session *s = model_run_session(model, 1, 1);
    cr_assert_eq(ssmc_prefill(s, 0, ids, 5, NULL), SSMC_OK);
    cr_assert_eq(ssmc_state_save(s, 0, path, "another's note", 15), SSMC_OK);
    ssmc_session_close(s);
    model_run_close(model);
    expect_fault(ARGS("--load-state", path, "--reproducible"),
                 "read to its end: give what comes next");
    CommandResult whole = run(0, ARGS("-p", PROMPT " there", "-n", "10", "--reproducible"));
    CommandResult b =
        run(0, ARGS("--load-state", path, "-p", " there", "-n", "10", "--reproducible"));
    cr_expect_str_eq(b.out, whole.out);
    command_free(&b);
    command_free(&whole);
    temp_dir_remove(dir);
    free(path);
}

Test(run_state, faults)
{
    char *dir = temp_dir(), *path = path_join(dir, "s.state"), *cache = path_join(dir, "c");
    CommandResult a = run(0, ARGS("-p", PROMPT, "-n", "3", "--save-state", path));
    command_free(&a);
    expect_fault(ARGS("-n", "3"), "what to continue?");
    expect_fault(ARGS("-p", "x", "--load-state", path, "--cache-dir", cache), "give one");
    expect_fault(ARGS("-p", "x", "--cache-dir", cache, "--cache-limit", "0"), "at least 1");
    expect_fault(ARGS("-p", "x", "--load-state", "/nonexistent"), "/nonexistent");
    expect_fault(ARGS("-p", "x", "--save-state", "/nonexistent/s"), "/nonexistent/s");
    expect_fault(ARGS("--load-state", path, "--dtype", "bf16"),
                 "by a model in f32, but this one is in bf16");
    expect_fault(ARGS("--load-state", path, "--set", "eps=1e-3"), "saved by another model");
    cr_assert_eq(truncate(path, 5000), 0);
    expect_fault(ARGS("--load-state", path), "is cut short: 5000 bytes");
    temp_dir_remove(dir);
    free(path);
    free(cache);
}

/* The command is killed while it saves over an older state: that, or the new one, goes on. */
Test(run_state, killed_while_it_saves)
{
    char *dir = temp_dir(), *path = path_join(dir, "s.state");
    const char *const save[] = {SSMC_BINARY, "run", STORYTELLER,    "--greedy", "-p", PROMPT,
                                "-n",        "15",  "--save-state", path,       NULL};
    CommandResult whole = run(0, ARGS("-p", PROMPT, "-n", "40"));
    CommandResult old = run(0, ARGS("-p", PROMPT, "-n", "10", "--save-state", path));
    CommandResult made = command_run(save, NULL, 0);
    double took = made.seconds;
    int news = 0;
    const int count = kills(10);
    for (int i = 0; i < count; i++) {
        CommandResult a = run(0, ARGS("-p", PROMPT, "-n", "10", "--save-state", path));
        command_killed(save, i % 2 ? 0.8 + 0.4 * i / count : (double)i / count, &took);
        CommandResult b = run(0, ARGS("--load-state", path, "-n", "25"));
        const bool is_new = strncmp(whole.out + made.out_len, b.out, b.out_len) == 0;
        cr_expect(is_new || strncmp(whole.out + old.out_len, b.out, b.out_len) == 0,
                  "kill %d: it goes on to\n%s", i, b.out);
        news += is_new;
        command_free(&a);
        command_free(&b);
    }
    cr_expect_lt(news, count, "none was killed before it had saved");
    CommandResult last = command_run(save, NULL, 0);
    cr_expect_eq(temporaries(dir), 0);
    command_free(&last);
    command_free(&made);
    command_free(&old);
    command_free(&whole);
    temp_dir_remove(dir);
    free(path);
}

/* ---- the cache ----------------------------------------------------------------------------- */

/* A prompt of about `words` tokens, and the same with some words more. */
typedef struct {
    char *dir, *cache, *path, *longer;
} Prompts;

static Prompts
prompts_new(int words)
{
    static const char *const word[] = {" the", " king", " had", " a",   " daughter",
                                       " who", " went", " to",  " her", " father"};
    StrBuf text = {0};
    Prompts p = {.dir = temp_dir()};
    p.cache = temp_dir();
    p.path = path_join(p.dir, "p.txt");
    p.longer = path_join(p.dir, "q.txt");
    for (unsigned i = 0, x = 1; i < (unsigned)words; i++, x = x * 1103515245u + 12345u)
        sb_puts(&text, word[(x >> 16) % COUNT_OF(word)]);
    cr_assert(write_whole(p.path, sb_text(&text), text.len));
    for (int i = 0; i < 20; i++)
        sb_puts(&text, " king");
    cr_assert(write_whole(p.longer, sb_text(&text), text.len));
    sb_free(&text);
    return p;
}

static void
prompts_free(Prompts *p)
{
    temp_dir_remove(p->cache);
    temp_dir_remove(p->dir);
    free(p->path);
    free(p->longer);
}

static CommandResult
cached_run(const Prompts *p, const char *path, const char *says)
{
    CommandResult r = run(0, ARGS("--prompt-file", path, "--cache-dir", p->cache, "-n", "12"));
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    return r;
}

Test(run_state, a_cached_prompt_is_not_read_again)
{
    Prompts p = prompts_new(4000);
    CommandResult a = cached_run(&p, p.path, " 0 of 4000 tokens taken");
    CommandResult again = cached_run(&p, p.path, " 3999 of 4000 tokens taken");
    cr_expect_str_eq(again.out, a.out);
    cr_expect(strstr(again.err, "   1 tokens, "), "%s", again.err);
    CommandResult b = cached_run(&p, p.longer, " 3999 of 4020 tokens taken");
    cr_expect(strstr(b.err, "   21 tokens, "), "%s", b.err);
    CommandResult b_again = cached_run(&p, p.longer, " 4019 of 4020 tokens taken");
    cr_expect_str_eq(b_again.out, b.out);
    command_free(&a);
    command_free(&again);
    command_free(&b);
    command_free(&b_again);
    prompts_free(&p);
}

/* States that grow are kept at fewer and fewer places: together they are no more than twice the
 * last.
 */
Test(run_state, a_cached_prompt_of_growing_states)
{
    Prompts p = prompts_new(9000);
    const char *const argv[] = {"--prompt-file", p.path, "--cache-dir", p.cache, "-n", "12", NULL};
    CommandResult a = run_hybrid(0, argv), again = run_hybrid(0, argv);
    cr_expect(strstr(a.err, " 0 of 9000 tokens taken"), "%s", a.err);
    cr_expect(strstr(again.err, " 8999 of 9000 tokens taken"), "%s", again.err);
    cr_expect_str_eq(again.out, a.out);
    int states = 0;
    DIR *dir = opendir(p.cache);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        states += strstr(e->d_name, "-2048.state") || strstr(e->d_name, "-4096.state") ||
                          strstr(e->d_name, "-8192.state") || strstr(e->d_name, "-8999.state")
                      ? 1
                  : strstr(e->d_name, ".state") ? 100
                                                : 0;
    closedir(dir);
    cr_expect_eq(states, 4);
    command_free(&a);
    command_free(&again);
    prompts_free(&p);
}

/* The command at work is killed at some moments; what it left is taken or not, and the text is the
 * same. */
Test(run_state, killed_while_it_fills_the_cache)
{
    Prompts p = prompts_new(2500), clean = prompts_new(2500);
    CommandResult want = cached_run(&clean, clean.path, " 0 of 2500 tokens taken");
    const int count = kills(10);
    double whole = want.seconds;
    for (int i = 0; i < count; i++) {
        if (i % 10 == 9) { /* from the beginning: killed at the first save, not the last */
            temp_dir_remove(p.cache);
            p.cache = temp_dir();
        }
        command_killed(
            ARGS(SSMC_BINARY, "run", STORYTELLER, "--prompt-file", p.path, "--cache-dir", p.cache),
            (i + 0.5) / count, &whole);
    }
    CommandResult got = cached_run(&p, p.path, "of 2500 tokens taken");
    CommandResult again = cached_run(&p, p.path, " 2499 of 2500 tokens taken");
    cr_expect_str_eq(got.out, want.out);
    cr_expect_str_eq(again.out, want.out);
    CommandResult longer =
        run(0, ARGS("--prompt-file", p.longer, "--cache-dir", p.cache, "-n", "1"));
    cr_expect_eq(temporaries(p.cache), 0, "what was left is there after a run that kept a state");
    command_free(&longer);
    command_free(&want);
    command_free(&got);
    command_free(&again);
    prompts_free(&clean);
    prompts_free(&p);
}

/* ---- full ---------------------------------------------------------------------------------- */

/* What was made is printed, and saved: with more room the text goes on as if it had had it. */
Test(run_state, a_full_session_ends_the_text_and_loses_nothing)
{
    char *dir = temp_dir(), *path = path_join(dir, "full.state");
    CommandResult whole = run_hybrid(0, ARGS("-p", PROMPT, "-n", "150"));
    CommandResult cut =
        run_hybrid(1, ARGS("-p", PROMPT, "-n", "150", "--context", "100", "--save-state", path));
    cr_expect(strstr(cut.err,
                     "sequence 0 is full: it has 128 tokens, 1 more were given, and it has "
                     "room for 128 (--context N gives it room for N)"),
              "%s", cut.err);
    const size_t len = strlen(cut.out);
    cr_expect(len > 0 && strncmp(whole.out, cut.out, len) == 0, "%s", cut.out);
    CommandResult short_of_it =
        run_hybrid(1, ARGS("--load-state", path, "-n", "9", "--context", "64"));
    cr_expect(
        strstr(short_of_it.err, "full.state has read 128 tokens, and the session has room for 64"),
        "%s", short_of_it.err);
    CommandResult rest = run_hybrid(0, ARGS("--load-state", path, "-n", "26"));
    cr_expect_str_eq(rest.out, whole.out + len);
    command_free(&whole);
    command_free(&cut);
    command_free(&short_of_it);
    command_free(&rest);
    free(path);
    temp_dir_remove(dir);
}

Test(run_state, a_prompt_longer_than_the_room)
{
    char text[2000] = "";
    for (int i = 0; i < 100; i++)
        strcat(text, "Once upon ");
    CommandResult r = run_hybrid(1, ARGS("-p", text, "--context", "64"));
    cr_expect(strstr(r.err, "sequence 0 is full: it has 0 tokens, "), "%s", r.err);
    cr_expect_str_eq(r.out, "");
    command_free(&r);
    static const char *const none[] = {"0", "-1", "2147483647", "99999999999999999999"};
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        CommandResult bad = run_hybrid(2, ARGS("-p", PROMPT, "--context", none[i]));
        cr_expect(strstr(bad.err, "--context"), "%s", bad.err);
        command_free(&bad);
    }
    /* It says nothing to a model whose states are of a fixed size. */
    CommandResult fixed = run(0, ARGS("-p", text, "--context", "1", "-n", "3"));
    command_free(&fixed);
}
