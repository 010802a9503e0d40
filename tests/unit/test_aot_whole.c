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

/* Moments spread over the whole time, as shares of it, the odd ones near its end; the first at its
 * beginning. */
static double
moment(int i, int count)
{
    const double at = (double)i / count;
    return i % 2 ? 0.8 + at * 0.3 : at;
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

/* The old file, the new one, or none: of the product and of its header, which comes first. */
typedef struct {
    char *path;
    Bytes old, made;
    int kept; /* kills that left the old one, or none */
} Whole;

static Whole
whole_new(const char *dir, const char *name)
{
    Whole w = {
        .path = path_join(dir, name), .old = {strdup("what was there"), 14}
    };
    w.made = bytes_of(w.path);
    cr_assert(w.made.bytes, "%s", w.path);
    return w;
}

static void
whole_free(Whole *w)
{
    free(w->path);
    free(w->old.bytes);
    free(w->made.bytes);
}

static void
whole_put_old(const Whole *w, bool before)
{
    remove(w->path);
    cr_assert(!before || write_whole(w->path, w->old.bytes, w->old.len));
}

static void
expect_whole(Whole *w, bool before, int kill)
{
    Bytes now = bytes_of(w->path);
    const bool none = !now.bytes && !before;
    w->kept += none || same(&now, &w->old);
    cr_expect(none || same(&now, &w->made) || (before && same(&now, &w->old)),
              "kill %d left %s with %zu bytes that are neither the old file's nor the new one's",
              kill, w->path, now.len);
    free(now.bytes);
}

static void
kill_compiles(const char *model, const char *emit)
{
    char *dir = temp_dir(), *out = path_join(dir, "product"), *header = path_join(dir, "h");
    const bool exe = strcmp(emit, "exe") == 0;
    const char *const argv[] = {
        SSMC_BINARY, "compile", model,       "-o",    out,
        "--emit",    emit,      "--weights", "embed", exe ? NULL : "--header",
        header,      NULL};
    double whole = seconds_of(argv);
    Whole file[2] = {whole_new(dir, "product")};
    if (!exe)
        file[1] = whole_new(dir, "h");
    const int count = kills(KILLS);
    for (int i = 0; i < count; i++) {
        const bool before = i % 4 < 2;
        for (int k = 0; k < 2 - exe; k++)
            whole_put_old(&file[k], before);
        command_killed(argv, moment(i, count), &whole);
        for (int k = 0; k < 2 - exe; k++)
            expect_whole(&file[k], before, i);
    }
    cr_expect_gt(file[0].kept, 0);
    seconds_of(argv);
    cr_expect_eq(temporaries(dir), 0, "what was left is there after a run that ended");
    for (int k = 0; k < 2 - exe; k++)
        whole_free(&file[k]);
    temp_dir_remove(dir);
    free(header);
    free(out);
}

Test(aot_whole, killed_compile_of_a_library)
{
    kill_compiles(AOT_SMALL, "so");
}

Test(aot_whole, killed_compile_of_an_archive)
{
    kill_compiles(AOT_SMALL, "lib");
}

Test(aot_whole, killed_compile_of_a_program)
{
    kill_compiles(AOT_STORY, "exe");
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
    command_free(&list);
    free(path);
    free(want.bytes);
    run_end(&r);
}

Test(aot_whole, killed_while_packing)
{
    Run r = run_new();
    Bytes want = logits_without_cache();
    double whole = seconds_of(r.argv);
    char *path = cache_file(&r);
    Bytes cache = bytes_of(path);
    const int count = kills(KILLS);
    int absent = 0;
    for (int i = 0; i < count; i++) {
        remove(path);
        command_killed(r.argv, moment(i, count), &whole);
        Bytes now = bytes_of(path);
        absent += !now.bytes;
        cr_expect(!now.bytes || same(&now, &cache), "kill %d of %d left %zu bytes", i, count,
                  now.len);
        free(now.bytes);
    }
    cr_expect_gt(absent, 0);
    remove(path);
    expect_output(&r, &want, "after all kills");
    cr_expect_eq(temporaries(r.cache), 0, "what was left is there after a run that ended");
    free(want.bytes);
    free(cache.bytes);
    free(path);
    run_end(&r);
}
