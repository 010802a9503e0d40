/* runtime/shards.c -- an index of files of weights: {"weight_map": {"tensor": "file", ...}, ...}.
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"

/* Appends a string to out->names, which are as long as the file. */
static char *
keep(char **room, const char *text)
{
    const size_t len = strlen(text) + 1;
    char *kept = memcpy(*room, text, len);
    *room += len;
    return kept;
}

static ssmc_status
read_pair(const char *path, const char *tensor, json_object *file, char **room, RtShard *out)
{
    if (!json_object_is_type(file, json_type_string))
        return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is in %s; expected the name of a file", path,
                       rt_quote(tensor).text, rt_json_kind(file));
    *out = (RtShard){keep(room, tensor), keep(room, json_object_get_string(file))};
    if (out->file[0] && !strchr(out->file, '/'))
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s: tensor '%s' is in '%s'; expected the name of a file beside it", path,
                   rt_quote(tensor).text, rt_quote(out->file).text);
}

static ssmc_status
read_map(const char *path, json_object *map, size_t bytes, RtShards *out)
{
    const size_t count = (size_t)json_object_object_length(map);
    out->names = malloc(bytes);
    out->shard = calloc(count, sizeof *out->shard);
    if (!out->names || !out->shard)
        return rt_fail_memory(bytes + count * sizeof *out->shard, "a list of weight files");
    char *room = out->names;
    json_object_object_foreach(map, tensor, file)
    {
        const ssmc_status status = read_pair(path, tensor, file, &room, &out->shard[out->count]);
        if (status != SSMC_OK)
            return status;
        out->count++;
    }
    return SSMC_OK;
}

static ssmc_status
read_index(const char *path, const RtMapping *file, RtShards *out)
{
    json_object *root, *map = NULL;
    ssmc_status status = rt_json_parse(file->data, file->len, path, &root);
    if (status != SSMC_OK)
        return status;
    json_object_object_get_ex(root, "weight_map", &map);
    if (json_object_is_type(map, json_type_object) && json_object_object_length(map) > 0)
        status = read_map(path, map, file->len, out);
    else
        status =
            rt_fail(SSMC_BAD_FILE,
                    "%s names no weights: expected {\"weight_map\": {\"tensor\": \"file\"}}", path);
    json_object_put(root);
    return status;
}

ssmc_status
rt_shards_read(const char *path, RtShards *out)
{
    RtMapping map;
    *out = (RtShards){0};
    ssmc_status status = rt_map_file(path, &map);
    if (status != SSMC_OK)
        return status;
    status = read_index(path, &map, out);
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
