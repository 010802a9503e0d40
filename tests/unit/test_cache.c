/* tests/unit/test_cache.c -- a directory of prompts' states: what it finds, what it refuses to
 * trust, how it stays small, and that any number of processes may use it and die. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/harness.h"
#include "tests/model_run.h"

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())
#define SMALL    SSMC_ROOT "/tests/goldens/mamba2-base"

enum { LONG = 40, PLENTY = 1 << 30 };

typedef struct {
    ModelRun *run;
    ssmc_session *s;
    char *dir;
    ssmc_cache *cache;
    int32_t ids[LONG];
} Cached;

static Cached
cached_open(uint64_t limit)
{
    Cached c = {.run = MODEL_RUN(SMALL), .dir = temp_dir()};
    c.s = model_run_session(c.run, 2, 1);
    model_run_ids(c.run, 1, c.ids, LONG);
    OK(ssmc_cache_open(c.dir, limit, &c.cache));
    return c;
}

static void
cached_close(Cached *c)
{
    ssmc_cache_close(c->cache);
    ssmc_session_close(c->s);
    model_run_close(c->run);
    temp_dir_remove(c->dir);
}

/* Sequence 0 reads the first n of ids, and the cache keeps it. */
static void
keep(Cached *c, const int32_t *ids, int64_t n)
{
    OK(ssmc_reset(c->s, 0));
    OK(ssmc_prefill(c->s, 0, ids, n, NULL));
    OK(ssmc_cache_put(c->cache, c->s, 0, ids, n));
}

static int64_t
taken(Cached *c, const int32_t *ids, int64_t n)
{
    int64_t tokens = -1;
    OK(ssmc_reset(c->s, 1));
    OK(ssmc_cache_take(c->cache, c->s, 1, ids, n, &tokens));
    cr_assert_eq(ssmc_tokens(c->s, 1), tokens);
    return tokens;
}

/* Files whose names end so; their bytes, and one of their paths (owns). */
static int
files(const char *dir, const char *suffix, int64_t *bytes, char **one)
{
    int count = 0;
    DIR *d = opendir(dir);
    *bytes = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        const size_t len = strlen(e->d_name), tail = strlen(suffix);
        struct stat st;
        if (len < tail || strcmp(e->d_name + len - tail, suffix) != 0)
            continue;
        char *path = path_join(dir, e->d_name);
        cr_assert_eq(stat(path, &st), 0);
        *bytes += st.st_size;
        count++;
        if (one && !*one)
            *one = path;
        else
            free(path);
    }
    closedir(d);
    return count;
}

Test(cache, finds_the_longest_prefix)
{
    Cached c = cached_open(PLENTY);
    int32_t other[LONG];
    float want[1024], got[1024];
    cr_assert_leq(ssmc_model_vocab(model_run_model(c.run)), 1024);
    cr_assert_eq(taken(&c, c.ids, LONG), 0);
    keep(&c, c.ids, 10);
    keep(&c, c.ids, 20);
    keep(&c, c.ids, 30);
    cr_expect_eq(taken(&c, c.ids, LONG), 30);
    cr_expect_eq(taken(&c, c.ids, 30), 30);
    cr_expect_eq(taken(&c, c.ids, 29), 20);
    cr_expect_eq(taken(&c, c.ids, 9), 0);
    memcpy(other, c.ids, sizeof other);
    other[25] ^= 1;
    cr_expect_eq(taken(&c, other, LONG), 20);
    other[0] ^= 1;
    cr_expect_eq(taken(&c, other, LONG), 0);
    /* It goes on as the one that was kept. */
    keep(&c, c.ids, 30);
    cr_assert_eq(taken(&c, c.ids, LONG), 30);
    OK(ssmc_prefill(c.s, 0, c.ids + 30, 10, want));
    OK(ssmc_prefill(c.s, 1, c.ids + 30, 10, got));
    cr_expect_arr_eq(want, got, (size_t)ssmc_model_vocab(model_run_model(c.run)) * sizeof *want);
    cached_close(&c);
}

Test(cache, other_models_have_their_own)
{
    Cached c = cached_open(PLENTY);
    keep(&c, c.ids, 10);
    const char *const *builds[] = {
        (const char *const[]){SMALL, "--dtype", "bf16", NULL},
        (const char *const[]){SMALL, "--reproducible", NULL}
    };
    for (size_t i = 0; i < RT_COUNT(builds); i++) {
        ModelRun *run = model_run_open(builds[i]);
        ssmc_session *s = model_run_session(run, 1, 1);
        int64_t tokens = -1;
        OK(ssmc_cache_take(c.cache, s, 0, c.ids, LONG, &tokens));
        cr_expect_eq(tokens, 0, "build %zu", i);
        ssmc_session_close(s);
        model_run_close(run);
    }
    cached_close(&c);
}

/* The name is only where to look: a file of other ids, or a damaged one, is not taken. */
Test(cache, does_not_trust_names)
{
    Cached c = cached_open(PLENTY);
    int32_t other[LONG];
    int64_t bytes = 0;
    char *of_ten = NULL, *of_others = NULL;
    keep(&c, c.ids, 10);
    cr_assert_eq(files(c.dir, ".state", &bytes, &of_ten), 1);
    char *aside = path_join(c.dir, "aside");
    cr_assert_eq(rename(of_ten, aside), 0);
    model_run_ids(c.run, 2, other, LONG);
    keep(&c, other, 10);
    cr_assert_eq(files(c.dir, ".state", &bytes, &of_others), 1);
    cr_assert_eq(rename(of_others, of_ten), 0); /* as if the hashes were equal */
    cr_expect_eq(taken(&c, c.ids, LONG), 0);
    cr_assert_eq(rename(aside, of_ten), 0);
    cr_expect_eq(taken(&c, c.ids, LONG), 10);
    keep(&c, c.ids, 5);
    cr_assert_eq(truncate(of_ten, 1000), 0);
    int64_t tokens = 0;
    cr_expect_eq(ssmc_cache_take(c.cache, c.s, 1, c.ids, LONG, &tokens), SSMC_BAD_FILE);
    cr_expect(strstr(ssmc_error(), "cut short"), "%s", ssmc_error());
    cr_expect_eq(tokens, 5, "the next shorter one serves");
    cr_expect_eq(access(of_ten, F_OK), -1, "a damaged file is removed");
    cr_expect_eq(taken(&c, c.ids, LONG), 5);
    free(aside);
    free(of_ten);
    free(of_others);
    cached_close(&c);
}

Test(cache, drops_what_was_not_used_for_longest)
{
    Cached c = cached_open(PLENTY);
    int64_t one = 0, bytes = 0;
    keep(&c, c.ids, 1);
    cr_assert_eq(files(c.dir, ".state", &one, NULL), 1);
    ssmc_cache_close(c.cache);
    const uint64_t limit = (uint64_t)(3 * one + one / 2);
    OK(ssmc_cache_open(c.dir, limit, &c.cache));
    for (int n = 2; n <= 8; n++) {
        usleep(20000); /* times of files tick with the kernel's clock */
        cr_expect_eq(taken(&c, c.ids, 1), 1, "what is used stays");
        usleep(20000);
        keep(&c, c.ids, n);
        cr_expect_eq(files(c.dir, ".state", &bytes, NULL), n < 3 ? n : 3);
        cr_expect_leq((uint64_t)bytes, limit);
    }
    cr_expect_eq(taken(&c, c.ids, LONG), 8);
    cr_expect_eq(taken(&c, c.ids, 7), 7);
    cr_expect_eq(taken(&c, c.ids, 6), 1);
    cached_close(&c);
}

/* Two versions of the format with one directory: neither takes, drops or counts the other's. */
Test(cache, other_versions_are_left_alone)
{
    enum { VERSION_AT = 8 };
    Cached c = cached_open(PLENTY);
    int64_t one = 0;
    char *path = NULL;
    keep(&c, c.ids, 10);
    cr_assert_eq(files(c.dir, ".state", &one, &path), 1);
    const char *name = strrchr(path, '/') + 1;
    cr_assert_eq(strncmp(name, "v3-", 3), 0, "%s", name);
    char *plain = path_join(c.dir, name + 3), *next = path_join(c.dir, name);
    next[strlen(c.dir) + 2] = '4';
    cr_assert(link(path, plain) == 0 && link(path, next) == 0);
    cr_assert_eq(unlink(path), 0);
    cr_expect_eq(taken(&c, c.ids, LONG), 0);
    ssmc_cache_close(c.cache);
    OK(ssmc_cache_open(c.dir, (uint64_t)(one + one / 2), &c.cache));
    keep(&c, c.ids, 11);
    keep(&c, c.ids, 9);
    cr_expect_eq(taken(&c, c.ids, LONG), 9);
    cr_expect(access(plain, F_OK) == 0 && access(next, F_OK) == 0);
    /* One of another version under this version's name. */
    size_t len = 0;
    char *bytes = read_whole(plain, &len);
    bytes[VERSION_AT] = 4;
    cr_assert(write_whole(path, bytes, len));
    int64_t tokens = 0;
    cr_expect_eq(ssmc_cache_take(c.cache, c.s, 1, c.ids, LONG, &tokens), SSMC_BAD_FILE);
    cr_expect(strstr(ssmc_error(), "version 4"), "%s", ssmc_error());
    cr_expect_eq(tokens, 9);
    cr_expect_eq(access(path, F_OK), 0);
    free(bytes);
    free(next);
    free(plain);
    free(path);
    cached_close(&c);
}

/* The lock of a name says whether its writer lives. */
Test(cache, sweeps_up_what_the_dead_left)
{
    Cached c = cached_open(PLENTY);
    char *dead = path_join(c.dir, "0-0-1.state.1-0.tmp"),
         *alive = path_join(c.dir, "0-0-2.state.2-0.tmp");
    char *foreign = path_join(c.dir, "notes.3-0.tmp");
    cr_assert(write_whole(dead, "x", 1) && write_whole(alive, "x", 1) &&
              write_whole(foreign, "x", 1));
    const int lock = open(alive, O_RDONLY);
    cr_assert_eq(flock(lock, LOCK_EX), 0);
    keep(&c, c.ids, 10);
    cr_expect_eq(access(dead, F_OK), -1);
    cr_expect_eq(access(alive, F_OK), 0);
    cr_expect_eq(access(foreign, F_OK), 0, "what is not of the cache is left alone");
    close(lock);
    keep(&c, c.ids, 11);
    cr_expect_eq(access(alive, F_OK), -1);
    free(dead);
    free(alive);
    free(foreign);
    cached_close(&c);
}

Test(cache, bad_arguments)
{
    Cached c = cached_open(1000);
    ssmc_cache *none = NULL;
    int64_t tokens = 0;
    cr_expect_eq(ssmc_cache_open(SSMC_ROOT "/README.md", PLENTY, &none), SSMC_IO);
    cr_expect(strstr(ssmc_error(), "no directory"), "%s", ssmc_error());
    cr_expect_eq(ssmc_cache_open("/nonexistent/x", PLENTY, &none), SSMC_IO);
    cr_expect_null(none);
    cr_expect_eq(ssmc_cache_take(c.cache, c.s, 2, c.ids, 1, &tokens), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_cache_put(c.cache, c.s, 2, c.ids, 1), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_cache_put(c.cache, c.s, 0, c.ids, 1), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "has read 0 tokens"), "%s", ssmc_error());
    OK(ssmc_prefill(c.s, 0, c.ids, 5, NULL));
    cr_expect_eq(ssmc_cache_put(c.cache, c.s, 0, c.ids, 5), SSMC_BAD_ARGUMENT);
    cr_expect(strstr(ssmc_error(), "may hold: 1000"), "%s", ssmc_error());
    cached_close(&c);
}

/* ---- many processes ------------------------------------------------------------------------ */

/* Takes and keeps prefixes that overlap with those of others; the state must always be right. */
static int
use_for_long(Cached *c, int which, const float *want)
{
    const size_t bytes = (size_t)ssmc_model_vocab(model_run_model(c->run)) * sizeof *want;
    float got[1024];
    for (int i = 0; i < 60; i++) {
        const int64_t n = 1 + (i * 7 + which * 3) % 30;
        int64_t tokens = 0;
        ssmc_reset(c->s, 0);
        if (ssmc_cache_take(c->cache, c->s, 0, c->ids, n, &tokens) != SSMC_OK)
            return 1;
        for (int64_t t = tokens; t < n; t++)
            ssmc_prefill(c->s, 0, c->ids + t, 1, NULL);
        if (ssmc_cache_put(c->cache, c->s, 0, c->ids, n) != SSMC_OK)
            return 2;
        for (int64_t t = n; t < LONG; t++)
            ssmc_prefill(c->s, 0, c->ids + t, 1, got);
        if (memcmp(want, got, bytes) != 0)
            return 3;
    }
    return 0;
}

Test(cache, processes_share_it)
{
    Cached c = cached_open(PLENTY);
    float want[1024];
    int64_t one = 0, bytes = 0;
    keep(&c, c.ids, 1);
    files(c.dir, ".state", &one, NULL);
    ssmc_cache_close(c.cache);
    OK(ssmc_cache_open(c.dir, (uint64_t)(5 * one), &c.cache)); /* so small that files come and go */
    OK(ssmc_reset(c.s, 0));
    for (int t = 0; t < LONG; t++)
        OK(ssmc_prefill(c.s, 0, c.ids + t, 1, want));
    pid_t child[4];
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        cr_assert_geq(child[i], 0);
        if (child[i] == 0)
            _exit(use_for_long(&c, i, want));
    }
    for (int i = 0; i < 4; i++) {
        int status = 0;
        waitpid(child[i], &status, 0);
        cr_expect_eq(status, 0, "process %d: %d", i, WEXITSTATUS(status));
    }
    keep(&c, c.ids, 2);
    cr_expect_leq(files(c.dir, ".state", &bytes, NULL), 5);
    cr_expect_eq(files(c.dir, ".tmp", &bytes, NULL), 0);
    cached_close(&c);
}

Test(cache, killed_while_it_keeps_it_harms_nobody)
{
    Cached c = cached_open(PLENTY);
    for (int i = 0; i < kills(60); i++) {
        const pid_t child = fork();
        cr_assert_geq(child, 0);
        for (int64_t n = 1; child == 0; n = n % LONG + 1) {
            char *path = NULL;
            int64_t bytes = 0;
            keep(&c, c.ids, n);
            if (files(c.dir, ".state", &bytes, &path) > 3)
                unlink(path);
            free(path);
        }
        int64_t some = 0;
        while (i == 0 &&
               files(c.dir, ".state", &some, NULL) == 0) /* once one is sure to be there */
            usleep(500);
        usleep((unsigned)(i * 211 % 9000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        const int64_t n = taken(&c, c.ids, LONG); /* aborts on a fault */
        cr_assert_leq(n, LONG);
    }
    int64_t bytes = 0;
    cr_expect_gt(files(c.dir, ".state", &bytes, NULL), 0);
    keep(&c, c.ids, LONG);
    cr_expect_eq(temporaries(c.dir), 0);
    cached_close(&c);
}
