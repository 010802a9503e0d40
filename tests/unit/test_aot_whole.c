/* tests/unit/test_aot_whole.c -- products and caches are written whole or not at all, whenever the
 * writer is killed; caches are used when they are good and made anew when they are not. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"
#include "tests/aot.h"

enum { KILLS = 20 };

/* SSMC_TEST_KILLS in the environment asks for more. */
static int
kills(void)
{
    const char *text = getenv("SSMC_TEST_KILLS");
    const int n = text ? atoi(text) : 0;
    return n > 0 ? n : KILLS;
}

/* Moments spread over the time that the whole takes, the odd ones near its end. */
static double
moment(int i, int count, double whole)
{
    const double at = whole * (i + 0.5) / count;
    return i % 2 ? whole * 0.8 + at * 0.3 : at;
}

static double
seconds_of(const char *const *argv)
{
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    command_free(&r);
    return r.seconds;
}

/* ---- compile --------------------------------------------------------------------------------- */

typedef struct {
    char *bytes;
    size_t len;
} Bytes;

static Bytes
bytes_of(const char *path)
{
    Bytes b = {0};
    b.bytes = read_whole(path, &b.len);
    return b;
}

static bool
same(const Bytes *a, const Bytes *b)
{
    return a->bytes && b->bytes && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void
kill_compiles(const char *emit)
{
    char *dir = temp_dir(), *out = path_join(dir, "product");
    const char *const argv[] = {SSMC_BINARY, "compile", AOT_SMALL,   "-o",    out,
                                "--emit",    emit,      "--weights", "embed", NULL};
    const double whole = seconds_of(argv);
    Bytes made = bytes_of(out), old = {strdup("what was there"), 14};
    const int count = kills();
    int killed = 0, kept = 0;
    for (int i = 0; i < count; i++) {
        const bool before = i % 4 < 2;
        remove(out);
        cr_assert(!before || write_whole(out, old.bytes, old.len));
        killed += command_killed(argv, moment(i, count, whole));
        Bytes now = bytes_of(out);
        const bool none = !now.bytes && !before;
        kept += none || same(&now, &old);
        cr_expect(none || same(&now, &made) || (before && same(&now, &old)),
                  "%s, kill %d of %d: %zu bytes that are neither the old file nor the new", emit, i,
                  count, now.len);
        free(now.bytes);
    }
    cr_expect_gt(killed, count / 4, "most runs had ended before they were killed");
    cr_expect_gt(kept, 0);
    temp_dir_remove(dir);
    free(made.bytes);
    free(old.bytes);
    free(out);
}

Test(aot_whole, killed_compile_of_a_library, .timeout = 0)
{
    kill_compiles("so");
}

Test(aot_whole, killed_compile_of_an_archive, .timeout = 0)
{
    kill_compiles("lib");
}

/* ---- cache of packed weights -------------------------------------------------------------- */

typedef struct {
    char *dir, *cache, *out;
    const char *argv[12];
} Run;

static Run
run_new(void)
{
    Run r = {.dir = temp_dir()};
    r.cache = path_join(r.dir, "cache");
    r.out = path_join(r.dir, "o.safetensors");
    CommandResult made = aot_tool(ARGS("mkdir", r.cache));
    cr_assert_eq(made.status, 0);
    command_free(&made);
    const char *const argv[] = {SSMC_BINARY, "logits", AOT_SMALL,      "--ids", AOT_IDS,
                                "--out",     r.out,    "--pack-cache", r.cache, NULL};
    memcpy(r.argv, argv, sizeof argv);
    return r;
}

static void
run_end(Run *r)
{
    temp_dir_remove(r->dir);
    free(r->cache);
    free(r->out);
}

/* The one file of the cache with its whole name; owned by the caller. */
static char *
cache_file(const Run *r)
{
    char *found = NULL;
    DIR *entries = opendir(r->cache);
    for (const struct dirent *e; entries && (e = readdir(entries)) != NULL;) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && strcmp(dot, ".pack") == 0) {
            cr_assert_null(found, "two files for one model");
            found = path_join(r->cache, e->d_name);
        }
    }
    if (entries)
        closedir(entries);
    return found;
}

static void
expect_output(const Run *r, const Bytes *want, const char *when)
{
    seconds_of(r->argv);
    Bytes got = bytes_of(r->out);
    cr_expect(same(&got, want), "%s: other logits", when);
    free(got.bytes);
}

static Bytes
logits_without_cache(void)
{
    Bytes b = {0};
    b.bytes = aot_logits(AOT_SMALL, AOT_IDS, ARGS("--threads", "2"), &b.len);
    return b;
}

Test(aot_whole, packed_weights_are_kept)
{
    Run r = run_new();
    Bytes want = logits_without_cache();
    expect_output(&r, &want, "making the cache");
    char *path = cache_file(&r);
    Bytes cache = bytes_of(path);
    cr_assert(cache.bytes && cache.len > 100000);
    expect_output(&r, &want, "from the cache");
    const size_t places[] = {0, 9, 17, 40, 5000, cache.len - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        cache.bytes[places[i]] ^= 1;
        cr_assert(write_whole(path, cache.bytes, cache.len));
        cache.bytes[places[i]] ^= 1;
        expect_output(&r, &want, "from a damaged cache");
        Bytes again = bytes_of(path);
        cr_expect(same(&again, &cache), "a cache damaged at %zu was not made anew", places[i]);
        free(again.bytes);
    }
    const size_t cuts[] = {0, 7, 4096, cache.len / 2, cache.len - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        cr_assert(write_whole(path, cache.bytes, cuts[i]));
        expect_output(&r, &want, "from a cache cut short");
    }
    free(want.bytes);
    free(cache.bytes);
    free(path);
    run_end(&r);
}

/* A cache with other numbers, whose hash is right, gives other logits: its pages are what runs. */
Test(aot_whole, the_cache_is_what_runs)
{
    enum { PAGE = 4096, HASH_AT = 40 };
    Run r = run_new();
    Bytes want = logits_without_cache();
    expect_output(&r, &want, "making the cache");
    char *path = cache_file(&r);
    Bytes cache = bytes_of(path);
    memset(cache.bytes + PAGE, 0, cache.len - PAGE);
    const uint64_t hash = rt_hash(cache.bytes + PAGE, cache.len - PAGE);
    memcpy(cache.bytes + HASH_AT, &hash, sizeof hash);
    cr_assert(write_whole(path, cache.bytes, cache.len));
    seconds_of(r.argv);
    Bytes got = bytes_of(r.out);
    cr_expect_eq(got.len, want.len);
    cr_expect_not(same(&got, &want), "the cache was not used");
    free(got.bytes);
    free(cache.bytes);
    free(want.bytes);
    free(path);
    run_end(&r);
}

Test(aot_whole, caches_know_their_models)
{
    Run r = run_new();
    Bytes want = logits_without_cache();
    expect_output(&r, &want, "making the cache");
    char *path = cache_file(&r);
    aot_ok(ARGS("logits", SSMC_ROOT "/tests/goldens/mamba2-bias", "--ids", AOT_IDS, "--out",
                "/dev/null", "--pack-cache", r.cache));
    aot_ok(ARGS("logits", AOT_SMALL, "--ids", AOT_IDS, "--out", "/dev/null", "--dtype", "bf16",
                "--pack-cache", r.cache));
    CommandResult list = aot_tool(ARGS("ls", r.cache));
    int files = 0;
    for (const char *at = list.out; *at; at++)
        files += *at == '\n';
    cr_expect_eq(files, 3, "another model and another dtype have caches of their own:\n%s",
                 list.out);
    expect_output(&r, &want, "beside other caches");
    aot_fault(2,
              ARGS("logits", AOT_SMALL, "--ids", AOT_IDS, "--out", "/dev/null", "--pack-cache",
                   "/nonexistent"),
              ARGS("cannot write /nonexistent/", ".pack", "No such file"));
    command_free(&list);
    free(path);
    free(want.bytes);
    run_end(&r);
}

Test(aot_whole, killed_while_packing, .timeout = 0)
{
    Run r = run_new();
    Bytes want = logits_without_cache();
    const double whole = seconds_of(r.argv);
    char *path = cache_file(&r);
    Bytes cache = bytes_of(path);
    const int count = kills();
    int absent = 0;
    for (int i = 0; i < count; i++) {
        remove(path);
        command_killed(r.argv, moment(i, count, whole));
        Bytes now = bytes_of(path);
        absent += !now.bytes;
        cr_expect(!now.bytes || same(&now, &cache), "kill %d of %d left %zu bytes", i, count,
                  now.len);
        free(now.bytes);
    }
    cr_expect_gt(absent, 0);
    expect_output(&r, &want, "after all kills");
    free(want.bytes);
    free(cache.bytes);
    free(path);
    run_end(&r);
}
