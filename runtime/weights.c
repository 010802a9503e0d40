/* runtime/weights.c -- the weights of a checkpoint: files found, their tensors by name, and data
 * aligned as kernels read it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/tensors.h"
#include "runtime/weights.h"

/* ---- tensors ------------------------------------------------------------------------------- */

ssmc_status
rt_weights_new(int most, ssmc_weights **out)
{
    ssmc_weights *w = calloc(1, sizeof *w);
    if (w)
        w->tensors = calloc((size_t)most + 1, sizeof *w->tensors);
    if (!w || !w->tensors) {
        free(w);
        return rt_fail_memory(((size_t)most + 1) * sizeof *w->tensors, "a list of weights");
    }
    *out = w;
    return SSMC_OK;
}

ssmc_status
rt_weights_index(ssmc_weights *w, const char *path)
{
    int first, second;
    const ssmc_status status = rt_index_build(&w->index, w->tensors, w->count, &first, &second);
    if (status != SSMC_OK || first < 0)
        return status;
    return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is there twice", path,
                   rt_quote(w->tensors[first].name).text);
}

/* Kernels read elements at their natural alignment, while a header of any length may stand before
 * the data; and they read no F64. */
static bool
is_readable(const RtTensor *t)
{
    const size_t size = (size_t)rt_dtype_bits(t->dtype) / 8;
    return strcmp(t->dtype, "F64") != 0 && (size < 2 || (uintptr_t)t->data % size == 0);
}

/* Bytes of the copies of tensors that are not readable, each rounded up to a line. */
static bool
copy_bytes(const ssmc_weights *w, size_t *total)
{
    *total = 0;
    for (int i = 0; i < w->count; i++) {
        size_t bytes;
        if (is_readable(&w->tensors[i]))
            continue;
        if (!rt_round_up(w->tensors[i].bytes, RT_LINE, &bytes) || !rt_add(*total, bytes, total))
            return false;
    }
    return true;
}

/* to: room for the tensor's bytes, aligned. */
static void
copy_tensor(RtTensor *t, char *to)
{
    const char *from = t->data;
    const size_t bytes = t->bytes;
    if (strcmp(t->dtype, "F64") == 0) {
        const size_t count = bytes / sizeof(double);
        for (size_t i = 0; i < count; i++) {
            double wide;
            memcpy(&wide, from + i * sizeof wide, sizeof wide);
            ((float *)(void *)to)[i] = (float)wide;
        }
        t->dtype = rt_dtype_name("F32");
        t->bytes = count * sizeof(float);
        t->rounded = true;
    } else {
        memcpy(to, from, bytes);
    }
    rt_pages_done(from, bytes);
    t->data = to;
}

static ssmc_status
copy_all(ssmc_weights *w)
{
    size_t total = 0;
    if (!copy_bytes(w, &total))
        return rt_fail_memory(SIZE_MAX, "aligned weights");
    if (total == 0)
        return SSMC_OK;
    w->pages = rt_pages_new(total);
    if (!w->pages)
        return rt_fail_memory(total, "aligned weights");
    w->page_bytes = total;
    char *at = w->pages;
    for (int i = 0; i < w->count; i++) {
        RtTensor *t = &w->tensors[i];
        if (is_readable(t))
            continue;
        const size_t bytes = t->bytes;
        copy_tensor(t, at);
        at += (bytes + RT_LINE - 1) / RT_LINE * RT_LINE;
    }
    return SSMC_OK;
}

/* ---- files --------------------------------------------------------------------------------- */

/* Makes weights of open files, which it takes whatever comes. */
static ssmc_status
from_files(const char *path, RtTensorFile **files, int nfiles, ssmc_weights **out)
{
    int count = 0;
    for (int f = 0; f < nfiles; f++)
        count += rt_tensors_count(files[f]);
    ssmc_weights *w = NULL;
    ssmc_status status = rt_weights_new(count, &w);
    if (status != SSMC_OK) {
        for (int f = 0; f < nfiles; f++)
            rt_tensors_close(files[f]);
        free(files);
        return status;
    }
    w->files = files;
    w->nfiles = nfiles;
    if (nfiles == 1 && files[0]->note)
        w->in_blocks = strdup(files[0]->note);
    for (int f = 0; f < nfiles; f++)
        for (int i = 0; i < rt_tensors_count(files[f]); i++)
            w->tensors[w->count++] = *rt_tensors_at(files[f], i);
    status = rt_weights_index(w, path);
    if (status == SSMC_OK)
        status = copy_all(w);
    if (status == SSMC_OK)
        *out = w;
    else
        rt_weights_close(w);
    return status;
}

static ssmc_status
open_one(const char *path, ssmc_weights **out)
{
    RtTensorFile **files = malloc(sizeof *files);
    if (!files)
        return rt_fail_memory(sizeof *files, "a list of files");
    const ssmc_status status = rt_tensors_open(path, files);
    if (status == SSMC_OK)
        return from_files(path, files, 1, out);
    free(files);
    return status;
}

static ssmc_status
open_beside(const char *dir, const char *name, ssmc_weights **out)
{
    char *path = rt_path_join(dir, name);
    if (!path)
        return rt_fail_memory(strlen(dir), "a path");
    const ssmc_status status = open_one(path, out);
    free(path);
    return status;
}

/* ---- several files ------------------------------------------------------------------------- */

static int
shard_order(const void *a, const void *b)
{
    const RtShard *x = a, *y = b;
    const int order = strcmp(x->file, y->file);
    return order ? order : strcmp(x->tensor, y->tensor);
}

/* Every tensor of shards [from, to), all of one file, is in it. */
static ssmc_status
check_shard(const char *path, const RtTensorFile *file, const RtShard *shard, int count)
{
    for (int i = 0; i < count; i++)
        if (!rt_tensors_find(file, shard[i].tensor))
            return rt_fail(SSMC_BAD_FILE, "%s says that tensor '%s' is in %s, but it is not", path,
                           rt_quote(shard[i].tensor).text, rt_quote(shard[i].file).text);
    return SSMC_OK;
}

static ssmc_status
open_shard(const char *dir, const char *path, const RtShard *shard, int count, RtTensorFile **file)
{
    char *name = rt_path_join(dir, shard->file);
    if (!name)
        return rt_fail_memory(strlen(dir), "a path");
    const ssmc_status status = rt_tensors_open(name, file);
    free(name);
    return status == SSMC_OK ? check_shard(path, *file, shard, count) : status;
}

static ssmc_status
open_shards(const char *dir, const char *path, RtShards *s, ssmc_weights **out)
{
    RtTensorFile **files = calloc((size_t)s->count, sizeof *files);
    if (!files)
        return rt_fail_memory((size_t)s->count * sizeof *files, "a list of files");
    qsort(s->shard, (size_t)s->count, sizeof *s->shard, shard_order);
    ssmc_status status = SSMC_OK;
    int nfiles = 0;
    for (int from = 0, to; from < s->count && status == SSMC_OK; from = to) {
        for (to = from + 1; to < s->count && strcmp(s->shard[from].file, s->shard[to].file) == 0;)
            to++;
        status = open_shard(dir, path, s->shard + from, to - from, &files[nfiles]);
        nfiles += files[nfiles] != NULL;
    }
    if (status == SSMC_OK)
        return from_files(path, files, nfiles, out);
    for (int f = 0; f < nfiles; f++)
        rt_tensors_close(files[f]);
    free(files);
    return status;
}

static ssmc_status
open_index(const char *dir, const char *name, ssmc_weights **out)
{
    RtShards shards;
    char *path = rt_path_join(dir, name);
    if (!path)
        return rt_fail_memory(strlen(dir), "a path");
    ssmc_status status = rt_shards_read(path, &shards);
    if (status == SSMC_OK) {
        status = open_shards(dir, path, &shards, out);
        rt_shards_free(&shards);
    }
    free(path);
    return status;
}

/* Names of the files that a directory may have its weights in. */
typedef struct {
    const char *whole, *index; /* all in one file; several, by an index: NULL: there is none */
} FileSet;

/* What an index and one file have to do with each other. */
typedef struct {
    RtText lacks; /* the first tensor of the index that is not in the file; "": none */
    bool others;  /* the index names other files */
} Overlap;

static ssmc_status
index_overlap(const char *dir, const FileSet *set, const ssmc_weights *single, Overlap *out)
{
    RtShards shards;
    char *path = rt_path_join(dir, set->index);
    *out = (Overlap){.others = false};
    if (!path)
        return rt_fail_memory(strlen(dir), "a path");
    const ssmc_status status = rt_shards_read(path, &shards);
    free(path);
    if (status != SSMC_OK)
        return status;
    for (int i = 0; i < shards.count; i++) {
        out->others = out->others || strcmp(shards.shard[i].file, set->whole) != 0;
        if (!out->lacks.text[0] && !rt_weights_find(single, shards.shard[i].tensor))
            out->lacks = rt_quote(shards.shard[i].tensor);
    }
    rt_shards_free(&shards);
    return SSMC_OK;
}

/* Which of the two were taken, and why; no memory: no note. */
static void
weights_note(ssmc_weights *w, const FileSet *set, bool by_index, const char *why)
{
    const size_t room = sizeof "the files of  are taken, not : " + strlen(set->whole) +
                        strlen(set->index) + strlen(why);
    w->note = malloc(room);
    if (w->note && by_index)
        snprintf(w->note, room, "the files of %s are taken, not %s: %s", set->index, set->whole,
                 why);
    else if (w->note)
        snprintf(w->note, room, "%s is taken, not the files of %s: %s", set->whole, set->index,
                 why);
}

/* The files of an index, because the one file is not the whole model. */
static ssmc_status
open_index_for(const char *dir, const FileSet *set, const char *why, ssmc_weights **out)
{
    const ssmc_status status = open_index(dir, set->index, out);
    if (status == SSMC_OK)
        weights_note(*out, set, true, why);
    return status;
}

/* A directory has an index and one file that should be the whole model. The one file is taken if it
 * holds what the index names, or where the files of the index cannot be read. */
static ssmc_status
open_either(const char *dir, const FileSet *set, ssmc_weights **out)
{
    ssmc_weights *single = NULL;
    Overlap overlap;
    ssmc_status status = open_beside(dir, set->whole, &single);
    if (status != SSMC_OK) {
        char *why = strdup(ssmc_error());
        status = open_index_for(dir, set, why ? why : "it cannot be read", out);
        free(why);
        return status;
    }
    status = index_overlap(dir, set, single, &overlap);
    if (status == SSMC_OK && overlap.lacks.text[0]) {
        char why[sizeof overlap.lacks.text + 32];
        snprintf(why, sizeof why, "it lacks tensor '%s'", overlap.lacks.text);
        status = open_index_for(dir, set, why, out);
        if (status == SSMC_OK) {
            rt_weights_close(single);
            return SSMC_OK;
        }
    }
    if (status != SSMC_OK || overlap.others)
        weights_note(single, set, false,
                     status == SSMC_OK ? "it holds every tensor that they do" : ssmc_error());
    *out = single;
    return SSMC_OK;
}

/* ---- directories --------------------------------------------------------------------------- */

static bool
exists(const char *dir, const char *name)
{
    struct stat st;
    char *path = rt_path_join(dir, name);
    const bool there = path && stat(path, &st) == 0;
    free(path);
    return there;
}

/* An adapter's weights are no model's. */
static bool
is_safetensors(const char *name)
{
    static const char suffix[] = ".safetensors", adapter[] = "adapter_model";
    const size_t len = strlen(name), n = sizeof suffix - 1;
    return strncmp(name, adapter, sizeof adapter - 1) != 0 && len > n && name[0] != '.' &&
           strcmp(name + len - n, suffix) == 0;
}

/* How many *.safetensors a directory has; *name (malloc) is one of them. -1: errno. */
static int
count_safetensors(const char *dir, char **name)
{
    DIR *entries = opendir(dir);
    int count = 0;
    if (!entries)
        return -1;
    for (const struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (!is_safetensors(e->d_name))
            continue;
        if (count++ == 0)
            *name = strdup(e->d_name);
    }
    closedir(entries);
    return count;
}

/* The files of a set; *found false: the directory has none of them. */
static ssmc_status
open_set(const char *dir, const FileSet *set, bool *found, ssmc_weights **out)
{
    const bool whole = exists(dir, set->whole), index = set->index && exists(dir, set->index);
    *found = whole || index;
    if (whole && index)
        return open_either(dir, set, out);
    if (index)
        return open_index(dir, set->index, out);
    return whole ? open_beside(dir, set->whole, out) : SSMC_OK;
}

/* Where no *.safetensors has a known name the only one is taken; else PyTorch's files. */
static ssmc_status
open_other(const char *dir, ssmc_weights **out)
{
    static const FileSet torch = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    char *name = NULL;
    const int count = count_safetensors(dir, &name);
    bool found = false;
    ssmc_status status = SSMC_OK;
    if (count < 0)
        status = rt_fail_errno("read", dir);
    else if (count == 1 && !name)
        status = rt_fail_memory(0, "a path");
    else if (count == 1)
        status = open_beside(dir, name, out);
    else
        status = open_set(dir, &torch, &found, out);
    free(name);
    if (status != SSMC_OK || *out)
        return status;
    if (count == 0)
        return rt_folder_fault(
            dir, "*.safetensors and no pytorch_model.bin, which hold a checkpoint's weights");
    return rt_fail(SSMC_BAD_FILE,
                   "%s has %d *.safetensors, but neither model.safetensors.index.json, "
                   "model.safetensors nor consolidated.safetensors to tell which are the weights",
                   dir, count);
}

static ssmc_status
open_directory(const char *dir, ssmc_weights **out)
{
    static const FileSet sets[] = {
        {"model.safetensors",        "model.safetensors.index.json"},
        {"consolidated.safetensors", NULL                          },
    };
    bool found = false;
    ssmc_status status = SSMC_OK;
    for (size_t i = 0; i < RT_COUNT(sets) && !found; i++)
        status = open_set(dir, &sets[i], &found, out);
    return found ? status : open_other(dir, out);
}

ssmc_status
rt_weights_open(const char *path, ssmc_weights **out)
{
    struct stat st;
    *out = NULL;
    if (rt_hub_name(path))
        return rt_hub_fault(path);
    if (stat(path, &st) != 0)
        return rt_fail_errno("open", path);
    return S_ISDIR(st.st_mode) ? open_directory(path, out) : open_one(path, out);
}

void
rt_weights_close(ssmc_weights *w)
{
    if (!w)
        return;
    for (int f = 0; f < w->nfiles; f++)
        rt_tensors_close(w->files[f]);
    rt_pages_free(w->pages, w->page_bytes);
    rt_index_free(&w->index);
    rt_joined_close(w);
    free(w->files);
    free(w->tensors);
    free(w->names);
    free(w->made);
    free(w->note);
    free(w->in_blocks);
    free(w);
}

const char *
rt_weights_in_blocks(const ssmc_weights *weights)
{
    return weights->in_blocks;
}

const char *
rt_weights_note(const ssmc_weights *weights)
{
    return weights->note;
}

const char *
rt_weights_file(const ssmc_weights *weights, int i)
{
    return i < weights->nfiles ? rt_tensors_path(weights->files[i]) : NULL;
}

int
rt_weights_count(const ssmc_weights *weights)
{
    return weights->count;
}

const RtTensor *
rt_weights_at(const ssmc_weights *weights, int i)
{
    return &weights->tensors[i];
}

const RtTensor *
rt_weights_find_n(const ssmc_weights *weights, const char *name, size_t len)
{
    const int i = rt_index_find(&weights->index, name, len);
    return i < 0 ? rt_joined_find(weights, name, len) : &weights->tensors[i];
}

const RtTensor *
rt_weights_find_any(const ssmc_weights *weights, const char *names)
{
    for (const char *at = names; *at;) {
        const size_t len = strcspn(at, "|");
        const RtTensor *t = rt_weights_find_n(weights, at, len);
        if (t)
            return t;
        at += len + (at[len] == '|');
    }
    return NULL;
}

const RtTensor *
rt_weights_find(const ssmc_weights *weights, const char *name)
{
    return rt_weights_find_n(weights, name, strlen(name));
}

/* Tensors are in the order of their files. */
const char *
rt_weights_file_of(const ssmc_weights *w, const RtTensor *tensor)
{
    int64_t at = tensor - w->tensors;
    for (int f = 0; f < w->nfiles; f++) {
        if (at < rt_tensors_count(w->files[f]))
            return rt_tensors_path(w->files[f]);
        at -= rt_tensors_count(w->files[f]);
    }
    return NULL;
}

/* Only what lies in files can come back. */
void
rt_weights_done(const ssmc_weights *w, const void *from, size_t bytes)
{
    const char *at = from;
    bool in_pages = w->pages && at >= w->pages && at < w->pages + w->page_bytes;
    for (int f = 0; f < w->nfiles; f++) {
        const char *made = w->files[f]->made;
        in_pages = in_pages || (made && at >= made && at < made + w->files[f]->made_bytes);
    }
    if (w->nfiles > 0 && !in_pages && !rt_joined_holds(w, at))
        rt_pages_done(from, bytes);
}

void
rt_weights_rest(const ssmc_weights *w)
{
    for (int f = 0; f < w->nfiles; f++)
        rt_tensors_rest(w->files[f]);
}

bool
rt_weights_identity(const ssmc_weights *w, uint64_t *hash)
{
    *hash = 0;
    for (int f = 0; f < w->nfiles; f++) {
        const uint64_t file = rt_tensors_identity(w->files[f]);
        *hash = rt_hash_on(*hash, &file, sizeof file);
    }
    return w->nfiles > 0;
}
