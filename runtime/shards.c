/* runtime/shards.c -- model.safetensors.index.json: {"weight_map": {"tensor": "file", ...}, ...}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"
#include "runtime/json.h"

typedef struct {
    const char *path;
    RtShards *out;
    RtJson json;
    char *room; /* free part of out->names */
} Reader;

/* Appends a string to names. */
static char *
keep(Reader *r)
{
    char *text = r->room;
    r->room += strlen(text) + 1;
    return text;
}

static ssmc_status
grow(RtShards *s)
{
    const int cap = s->cap ? s->cap * 2 : 256;
    RtShard *shard = realloc(s->shard, (size_t)cap * sizeof *shard);
    if (!shard)
        return rt_fail_memory((size_t)cap * sizeof *shard, "a list of weight files");
    s->shard = shard;
    s->cap = cap;
    return SSMC_OK;
}

static ssmc_status
read_pair(Reader *r)
{
    RtShards *s = r->out;
    const ssmc_status status = s->count == s->cap ? grow(s) : SSMC_OK;
    if (status != SSMC_OK)
        return status;
    RtShard *shard = &s->shard[s->count];
    if (!rt_json_key(&r->json, r->room))
        return SSMC_BAD_FILE;
    shard->tensor = keep(r);
    if (!rt_json_string(&r->json, r->room))
        return SSMC_BAD_FILE;
    shard->file = keep(r);
    s->count++;
    if (shard->file[0] && !strchr(shard->file, '/'))
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s: tensor '%s' is in '%s'; expected the name of a file beside it", r->path,
                   rt_quote(shard->tensor).text, rt_quote(shard->file).text);
}

static ssmc_status
read_map(Reader *r)
{
    for (rt_json_open(&r->json, '{'); rt_json_more(&r->json, '}');) {
        const ssmc_status status = read_pair(r);
        if (status != SSMC_OK)
            return status;
    }
    return r->json.failed ? SSMC_BAD_FILE : SSMC_OK;
}

static ssmc_status
read_index(Reader *r)
{
    bool found = false;
    for (rt_json_open(&r->json, '{'); rt_json_more(&r->json, '}');) {
        if (!rt_json_key(&r->json, r->room))
            return SSMC_BAD_FILE;
        if (strcmp(r->room, "weight_map") != 0) {
            rt_json_skip(&r->json);
            continue;
        }
        if (found)
            return rt_fail(SSMC_BAD_FILE, "%s has two weight_map", r->path);
        found = true;
        const ssmc_status status = read_map(r);
        if (status != SSMC_OK)
            return status;
    }
    if (!rt_json_end(&r->json))
        return SSMC_BAD_FILE;
    if (r->out->count)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s names no weights: expected {\"weight_map\": {\"tensor\": \"file\"}}",
                   r->path);
}

ssmc_status
rt_shards_read(const char *path, RtShards *out)
{
    RtMapping map;
    *out = (RtShards){0};
    ssmc_status status = rt_map_file(path, &map);
    if (status != SSMC_OK)
        return status;
    out->names = malloc(map.len + 1);
    if (out->names) {
        Reader r = {
            path, out, {.text = map.data, .len = map.len, .where = path},
              out->names
        };
        status = read_index(&r);
    } else {
        status = rt_fail_memory(map.len, "names of tensors");
    }
    rt_unmap_file(&map);
    if (status != SSMC_OK)
        rt_shards_free(out);
    return status;
}

void
rt_shards_free(RtShards *shards)
{
    free(shards->shard);
    free(shards->names);
    *shards = (RtShards){0};
}
