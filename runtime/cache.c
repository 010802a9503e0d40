/* runtime/cache.c -- states of prompts in a directory, to be taken up by prompts that begin alike.
 *
 * The directory is the tree: a node is one file, the state after a prefix, named by the model, by
 * the hash of the prefix and by its length, after the version of the format: files of another
 * version are not seen here, neither taken nor dropped. Walking the tree is asking, for each length
 * that the directory has for this model, whether this prompt's prefix of that length has that hash,
 * the longest first. The hash only finds the file: the ids are its note, and are compared. There is
 * no index that could be wrong: files appear whole (rename) and may vanish at any time, so that any
 * number of processes share a directory, and one that is killed leaves at most a temporary file,
 * which a later one sweeps up. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/state_file.h"

enum { NAME_BYTES = 64 };
/* version of the format, model, hash and length of the prefix */
#define NAME_FORMAT "v%d-%016" PRIx64 "-%016" PRIx64 "-%" PRId64 ".state"
#define NAME_SCAN   "v%d-%16" SCNx64 "-%16" SCNx64 "-%" SCNd64 ".state%n"

struct ssmc_cache {
    char *path; /* owns: of the directory */
    uint64_t limit;
};

typedef struct {
    uint64_t model, prefix;
    int64_t tokens;
} Key;

/* ---- names --------------------------------------------------------------------------------- */

static void
name_print(const Key *key, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, NAME_FORMAT, (int)RT_STATE_VERSION, key->model, key->prefix,
             key->tokens);
}

/* The key of a file of ours: printed again it is the same name. */
static bool
name_scan(const char *name, Key *key)
{
    char again[NAME_BYTES];
    int end = 0, version = 0;
    if (sscanf(name, NAME_SCAN, &version, &key->model, &key->prefix, &key->tokens, &end) != 4 ||
        end == 0)
        return false;
    name_print(key, again);
    return strcmp(name, again) == 0;
}

/* States of one model that were made under other numerics are no use to each other. */
static uint64_t
model_key(const ssmc_session *s)
{
    const ssmc_program *p = s->model->program;
    const RtHash model = rt_model_identity(s->model);
    const uint64_t record[] = {model.low, model.high,
                               rt_hash(p->abi->numerics, strlen(p->abi->numerics)),
                               rt_program_is_exact(p)};
    return rt_hash(record, sizeof record);
}

static Key
key_of(const ssmc_session *s, const int32_t *ids, int64_t n)
{
    return (Key){model_key(s), rt_hash(ids, (size_t)n * sizeof *ids), n};
}

/* ---- the directory ------------------------------------------------------------------------- */

ssmc_status
ssmc_cache_open(const char *dir, uint64_t limit, ssmc_cache **out)
{
    if (!dir || !out)
        return rt_fail_null(dir ? "place for the cache" : "directory of a cache");
    *out = NULL;
    struct stat st;
    const ssmc_status status = rt_folder_make(dir);
    if (status != SSMC_OK)
        return status;
    if (stat(dir, &st) != 0)
        return rt_fail_errno("open", dir);
    if (!S_ISDIR(st.st_mode))
        return rt_fail(SSMC_IO, "%s is no directory", dir);
    ssmc_cache *cache = calloc(1, sizeof *cache);
    char *path = cache ? strdup(dir) : NULL;
    if (!path) {
        free(cache);
        return rt_fail_memory(sizeof *cache, "a cache");
    }
    *cache = (ssmc_cache){path, limit};
    *out = cache;
    return SSMC_OK;
}

void
ssmc_cache_close(ssmc_cache *cache)
{
    if (!cache)
        return;
    free(cache->path);
    free(cache);
}

/* A file of the cache as a path; owns. NULL: no memory. */
static char *
path_of(const ssmc_cache *cache, const Key *key)
{
    char name[NAME_BYTES];
    name_print(key, name);
    return rt_path_join(cache->path, name);
}

static ssmc_status
check_ids(const ssmc_cache *cache, const ssmc_session *s, int seq, const int32_t *ids, int64_t n)
{
    if (!cache)
        return rt_fail_null("cache");
    const ssmc_status status = rt_session_check(s, seq);
    if (status != SSMC_OK)
        return status;
    if (n < 0)
        return rt_fail(SSMC_BAD_ARGUMENT, "%" PRId64 " ids of a prompt", n);
    return ids || n == 0 ? SSMC_OK : rt_fail_null("ids");
}

/* ---- taking -------------------------------------------------------------------------------- */

/* The longest prefix of ids [n] of fewer than `below` tokens that has a file; of 0 tokens: none
 * has. */
static ssmc_status
longest(const ssmc_cache *cache, uint64_t model, const int32_t *ids, int64_t below, Key *best)
{
    DIR *dir = opendir(cache->path);
    Key key;
    *best = (Key){.tokens = 0};
    if (!dir)
        return rt_fail_errno("read", cache->path);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (name_scan(e->d_name, &key) && key.model == model && key.tokens < below &&
            key.tokens > best->tokens &&
            rt_hash(ids, (size_t)key.tokens * sizeof *ids) == key.prefix)
            *best = key;
    closedir(dir);
    return SSMC_OK;
}

/* What prefixes of n ids are shorter than; longer ones do not fit the session. */
static int64_t
first_below(const ssmc_session *s, int64_t n)
{
    const int64_t most = n < s->room ? n : s->room;
    return most < INT64_MAX ? most + 1 : most;
}

static bool
is_of(const RtStateFile *f, const int32_t *ids, int64_t n)
{
    const size_t bytes = (size_t)n * sizeof *ids;
    return f->head.tokens == (uint64_t)n && f->head.note_bytes == bytes &&
           memcmp(f->note, ids, bytes) == 0;
}

/* The file's state, if it is what its name says; its time of last use is now. A damaged file is
 * removed, one that has vanished is no fault. */
static ssmc_status
take(const char *path, ssmc_session *s, int seq, const Key *key, const int32_t *ids, int64_t *taken)
{
    RtStateFile file;
    ssmc_status status = rt_state_open(path, &file);
    if (status == SSMC_IO && access(path, F_OK) != 0 && errno == ENOENT)
        return SSMC_OK;
    if (status == SSMC_BAD_FILE && !file.other_version)
        unlink(path);
    if (status != SSMC_OK)
        return status;
    const bool same = is_of(&file, ids, key->tokens); /* hashes may be equal by chance */
    if (same)
        status = rt_state_read(&file, s, seq);
    rt_state_close(&file);
    if (!same || status != SSMC_OK)
        return status;
    *taken = key->tokens;
    utimensat(AT_FDCWD, path, NULL, 0);
    return SSMC_OK;
}

ssmc_status
ssmc_cache_take(const ssmc_cache *cache, ssmc_session *s, int seq, const int32_t *ids, int64_t n,
                int64_t *taken)
{
    ssmc_status status = check_ids(cache, s, seq, ids, n), worst = SSMC_OK;
    if (!taken)
        return rt_fail_null("place for how many were taken");
    *taken = 0;
    if (status != SSMC_OK)
        return status;
    const uint64_t model = model_key(s);
    Key key = {.tokens = first_below(s, n)};
    do {
        status = longest(cache, model, ids, key.tokens, &key);
        if (status != SSMC_OK || key.tokens == 0)
            break;
        char *path = path_of(cache, &key);
        if (!path)
            return rt_fail_memory(NAME_BYTES, "a path");
        status = take(path, s, seq, &key, ids, taken);
        free(path);
        worst = status != SSMC_OK ? status : worst;
    } while (*taken == 0);
    return status != SSMC_OK ? status : worst;
}

ssmc_status
rt_cache_look(const ssmc_cache *cache, const ssmc_session *s, const int32_t *ids, int64_t n,
              int64_t *tokens)
{
    Key key = {.tokens = 0};
    ssmc_status status = check_ids(cache, s, 0, ids, n);
    if (status == SSMC_OK)
        status = longest(cache, model_key(s), ids, first_below(s, n), &key);
    *tokens = key.tokens;
    return status;
}

/* ---- putting ------------------------------------------------------------------------------- */

/* One look over the directory: bytes of all states, and the one that was not used for longest. */
typedef struct {
    uint64_t bytes;
    char oldest[NAME_BYTES]; /* "": there is none */
    struct timespec used;
} Census;

static bool
is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* keep: the name that must stay. */
static void
count(Census *census, int dir, const char *name, const char *keep)
{
    struct stat st;
    Key key;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return;
    if (strstr(name, ".state.") && rt_is_temporary(name))
        rt_temporary_sweep(dir, name); /* also of prompts that no caller will ask for again */
    if (!name_scan(name, &key))
        return;
    census->bytes += (uint64_t)st.st_size;
    if (strcmp(name, keep) == 0 || (census->oldest[0] && !is_before(st.st_mtim, census->used)))
        return;
    name_print(&key, census->oldest);
    census->used = st.st_mtim;
}

static bool
take_census(const ssmc_cache *cache, const char *keep, Census *census)
{
    DIR *dir = opendir(cache->path);
    *census = (Census){0};
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        count(census, dirfd(dir), e->d_name, keep);
    if (dir)
        closedir(dir);
    return dir != NULL;
}

/* Drops what was not used for longest until the rest is within the limit. Another process may be
 * trimming, too: a file that is gone already is no fault. */
static ssmc_status
trim(const ssmc_cache *cache, const Key *newest)
{
    char keep[NAME_BYTES];
    Census census;
    name_print(newest, keep);
    while (take_census(cache, keep, &census) && census.bytes > cache->limit && census.oldest[0]) {
        char *path = rt_path_join(cache->path, census.oldest);
        if (!path)
            return rt_fail_memory(NAME_BYTES, "a path");
        const bool gone = unlink(path) == 0 || errno == ENOENT;
        const ssmc_status status = gone ? SSMC_OK : rt_fail_errno("remove", path);
        free(path);
        if (!gone)
            return status;
    }
    return SSMC_OK;
}

ssmc_status
ssmc_cache_put(const ssmc_cache *cache, const ssmc_session *s, int seq, const int32_t *ids,
               int64_t n)
{
    ssmc_status status = check_ids(cache, s, seq, ids, n);
    if (status != SSMC_OK)
        return status;
    if (n < 1 || s->sequence[seq].tokens != n)
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "sequence %d has read %" PRId64
                       " tokens; its prompt was said to be %" PRId64,
                       seq, s->sequence[seq].tokens, n);
    const size_t note = (size_t)n * sizeof *ids, bytes = rt_state_file_bytes(s, seq, note);
    if (bytes > cache->limit)
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "a state of %zu bytes is more than the cache %s may hold: %" PRIu64, bytes,
                       cache->path, cache->limit);
    const Key key = key_of(s, ids, n);
    char *path = path_of(cache, &key);
    if (!path)
        return rt_fail_memory(NAME_BYTES, "a path");
    if (utimensat(AT_FDCWD, path, NULL, 0) != 0) /* there: it is in use again */
        status = ssmc_state_save(s, seq, path, ids, note);
    free(path);
    return status == SSMC_OK ? trim(cache, &key) : status;
}
