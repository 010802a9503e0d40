/* runtime/safetensors.c -- safetensors files read: 8 bytes of header length N (little-endian), N
 * bytes of JSON {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [begin, end]}, ...}, then
 * the data, which the offsets cover without gap or overlap. Nothing of a file is believed before it
 * is checked. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"
#include "runtime/json.h"

enum { LENGTH_BYTES = 8, MOST_HEADER = 100000000 }; /* as the reference reader bounds it */

typedef struct {
    uint64_t begin, end; /* bytes after the header */
    int tensor;
} Extent;

struct RtTensorFile {
    char *path;
    RtMapping mapping; /* empty when the bytes are borrowed */
    char *names;       /* what RtTensor.name points into */
    RtTensor *tensors;
    Extent *extents; /* [count], sorted by begin; used while reading */
    int count, cap;
    RtIndex index;
};

/* One header being read. */
typedef struct {
    RtTensorFile *file;
    RtJson json;
    const char *data; /* [data_len], behind the header */
    uint64_t data_len;
    char *room; /* free part of file->names: at least as long as what is left of the header */
} Reader;

/* ---- one tensor ---------------------------------------------------------------------------- */

typedef enum { FIELD_dtype, FIELD_shape, FIELD_data_offsets, FIELD_COUNT } Field;
static const char *const field_name[FIELD_COUNT] = {"dtype", "shape", "data_offsets"};

static ssmc_status
tensor_fault(const Reader *r, const RtTensor *t, const char *what)
{
    return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s': %s", r->file->path, rt_quote(t->name).text,
                   what);
}

/* The reader's own message stays when there is one. */
static ssmc_status
json_status(const Reader *r)
{
    return r->json.failed ? SSMC_BAD_FILE : SSMC_OK;
}

static ssmc_status
read_dtype(Reader *r, RtTensor *t)
{
    if (!rt_json_string(&r->json, r->room))
        return SSMC_BAD_FILE;
    t->dtype = rt_dtype_name(r->room);
    if (t->dtype)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s: tensor '%s': unknown dtype '%s'; expected one like F32, F16 or BF16",
                   r->file->path, rt_quote(t->name).text, rt_quote(r->room).text);
}

static ssmc_status
read_shape(Reader *r, RtTensor *t)
{
    for (rt_json_open(&r->json, '['); rt_json_more(&r->json, ']'); t->rank++) {
        uint64_t n;
        if (t->rank == RT_MAX_RANK)
            return tensor_fault(r, t, "its shape has more than 8 dimensions");
        if (!rt_json_count(&r->json, &n))
            return SSMC_BAD_FILE;
        t->dim[t->rank] = (int64_t)n; /* rt_json_count goes up to INT64_MAX */
    }
    return json_status(r);
}

static ssmc_status
read_offsets(Reader *r, const RtTensor *t, Extent *extent)
{
    uint64_t offset[2] = {0};
    int n = 0;
    for (rt_json_open(&r->json, '['); rt_json_more(&r->json, ']'); n++) {
        if (n == 2)
            return tensor_fault(r, t, "data_offsets has more than 2 numbers");
        if (!rt_json_count(&r->json, &offset[n]))
            return SSMC_BAD_FILE;
    }
    if (!r->json.failed && n < 2)
        return tensor_fault(r, t, "data_offsets has fewer than 2 numbers");
    extent->begin = offset[0];
    extent->end = offset[1];
    return json_status(r);
}

static ssmc_status
read_field(Reader *r, RtTensor *t, Extent *extent, bool *seen)
{
    if (!rt_json_key(&r->json, r->room))
        return SSMC_BAD_FILE;
    Field field = 0;
    while (field < FIELD_COUNT && strcmp(field_name[field], r->room) != 0)
        field++;
    if (field < FIELD_COUNT && seen[field])
        return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' has two %s", r->file->path,
                       rt_quote(t->name).text, field_name[field]);
    switch (field) {
    case FIELD_dtype:
        seen[field] = true;
        return read_dtype(r, t);
    case FIELD_shape:
        seen[field] = true;
        return read_shape(r, t);
    case FIELD_data_offsets:
        seen[field] = true;
        return read_offsets(r, t, extent);
    case FIELD_COUNT:
        break;
    }
    rt_json_skip(&r->json); /* fields of a later format */
    return json_status(r);
}

/* Offsets in range and as many bytes as the shape takes. */
static ssmc_status
check_extent(const Reader *r, const RtTensor *t, const Extent *e)
{
    const char *path = r->file->path;
    const RtText name = rt_quote(t->name);
    if (e->begin > e->end || e->end > r->data_len)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s': data_offsets are [%" PRIu64 ",%" PRIu64
                       "], but the file has %" PRIu64 " bytes of data",
                       path, name.text, e->begin, e->end, r->data_len);
    size_t bytes;
    if (!rt_tensor_bytes(rt_dtype_bits(t->dtype), t->dim, t->rank, &bytes))
        return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s': %s %s is no size a file can have", path,
                       name.text, t->dtype, rt_dims(t->dim, t->rank).text);
    if (bytes != e->end - e->begin)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s': data_offsets [%" PRIu64 ",%" PRIu64 "] are %" PRIu64
                       " bytes, but %s %s takes %zu",
                       path, name.text, e->begin, e->end, e->end - e->begin, t->dtype,
                       rt_dims(t->dim, t->rank).text, bytes);
    return SSMC_OK;
}

static ssmc_status
read_tensor(Reader *r, RtTensor *t, Extent *extent)
{
    bool seen[FIELD_COUNT] = {false};
    for (rt_json_open(&r->json, '{'); rt_json_more(&r->json, '}');) {
        const ssmc_status status = read_field(r, t, extent, seen);
        if (status != SSMC_OK)
            return status;
    }
    if (r->json.failed)
        return SSMC_BAD_FILE;
    for (int f = 0; f < FIELD_COUNT; f++)
        if (!seen[f])
            return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' has no %s", r->file->path,
                           rt_quote(t->name).text, field_name[f]);
    const ssmc_status status = check_extent(r, t, extent);
    if (status != SSMC_OK)
        return status;
    t->data = r->data + extent->begin;
    t->bytes = extent->end - extent->begin;
    return SSMC_OK;
}

/* ---- the header ---------------------------------------------------------------------------- */

static ssmc_status
grow(RtTensorFile *file)
{
    const int cap = file->cap ? file->cap * 2 : 64; /* a header's length bounds it: no overflow */
    RtTensor *tensors = realloc(file->tensors, (size_t)cap * sizeof *tensors);
    if (tensors)
        file->tensors = tensors;
    Extent *extents = realloc(file->extents, (size_t)cap * sizeof *extents);
    if (extents)
        file->extents = extents;
    if (!tensors || !extents)
        return rt_fail_memory((size_t)cap * (sizeof *tensors + sizeof *extents),
                              "a list of tensors");
    file->cap = cap;
    return SSMC_OK;
}

static ssmc_status
read_entry(Reader *r)
{
    RtTensorFile *file = r->file;
    if (!rt_json_key(&r->json, r->room))
        return SSMC_BAD_FILE;
    if (strcmp(r->room, "__metadata__") == 0) {
        rt_json_skip(&r->json);
        return json_status(r);
    }
    if (file->count == file->cap) {
        const ssmc_status status = grow(file);
        if (status != SSMC_OK)
            return status;
    }
    RtTensor *t = &file->tensors[file->count];
    Extent *extent = &file->extents[file->count];
    *t = (RtTensor){.name = r->room};
    *extent = (Extent){.tensor = file->count};
    r->room += strlen(r->room) + 1;
    file->count++;
    return read_tensor(r, t, extent);
}

static int
extent_order(const void *a, const void *b)
{
    const Extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors, in the order of their data, follow one another from 0 to the end. */
static ssmc_status
check_cover(const Reader *r)
{
    RtTensorFile *file = r->file;
    uint64_t at = 0;
    if (file->count)
        qsort(file->extents, (size_t)file->count, sizeof *file->extents, extent_order);
    for (int i = 0; i < file->count; i++) {
        const Extent *e = &file->extents[i];
        if (e->begin != at)
            return rt_fail(SSMC_BAD_FILE,
                           "%s: tensor '%s' starts at byte %" PRIu64
                           " of the data, but the one before "
                           "it ends at %" PRIu64 ": tensors must follow each other without %s",
                           file->path, rt_quote(file->tensors[e->tensor].name).text, e->begin, at,
                           e->begin < at ? "overlap" : "gaps");
        at = e->end;
    }
    if (at == r->data_len)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s has %" PRIu64 " bytes of data, but its tensors end at byte %" PRIu64,
                   file->path, r->data_len, at);
}

static ssmc_status
check_names(RtTensorFile *file)
{
    int first, second;
    const ssmc_status status =
        rt_index_build(&file->index, file->tensors, file->count, &first, &second);
    if (status != SSMC_OK || first < 0)
        return status;
    return rt_fail(SSMC_BAD_FILE,
                   "%s: two tensors are named '%s' (numbers %d and %d of the header)", file->path,
                   rt_quote(file->tensors[first].name).text, first + 1, second + 1);
}

static ssmc_status
read_entries(Reader *r)
{
    for (rt_json_open(&r->json, '{'); rt_json_more(&r->json, '}');) {
        const ssmc_status status = read_entry(r);
        if (status != SSMC_OK)
            return status;
    }
    if (!rt_json_end(&r->json))
        return SSMC_BAD_FILE;
    const ssmc_status status = check_cover(r);
    return status == SSMC_OK ? check_names(r->file) : status;
}

/* ---- the file ------------------------------------------------------------------------------ */

static uint64_t
little_endian(const char *bytes)
{
    uint64_t n = 0;
    for (int i = LENGTH_BYTES; i-- > 0;)
        n = n << 8 | (unsigned char)bytes[i];
    return n;
}

static ssmc_status
check_length(const RtTensorFile *file, const char *bytes, size_t len, size_t *header)
{
    if (len < LENGTH_BYTES)
        return rt_fail(SSMC_BAD_FILE,
                       "%s has %zu bytes; a safetensors file starts with 8 bytes of header length",
                       file->path, len);
    const uint64_t said = little_endian(bytes);
    if (said > len - LENGTH_BYTES)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: its first 8 bytes say a header of %" PRIu64 " bytes, but %zu follow",
                       file->path, said, len - LENGTH_BYTES);
    if (said > MOST_HEADER)
        return rt_fail(SSMC_BAD_FILE, "%s: a header of %" PRIu64 " bytes; the format allows %d",
                       file->path, said, MOST_HEADER);
    *header = (size_t)said;
    return SSMC_OK;
}

static ssmc_status
read_header(RtTensorFile *file, const char *bytes, size_t len)
{
    size_t header = 0;
    const ssmc_status status = check_length(file, bytes, len, &header);
    if (status != SSMC_OK)
        return status;
    const size_t room = strlen(file->path) + sizeof ": header is not valid JSON";
    char *where = malloc(room);
    file->names = malloc(header + 1);
    if (!where || !file->names) {
        free(where);
        return rt_fail_memory(header, "names of tensors");
    }
    snprintf(where, room, "%s: header is not valid JSON", file->path);
    Reader r = {
        .file = file,
        .json = {.text = bytes + LENGTH_BYTES, .len = header, .where = where},
        .data = bytes + LENGTH_BYTES + header,
        .data_len = len - LENGTH_BYTES - header,
        .room = file->names
    };
    const ssmc_status read = read_entries(&r);
    free(where);
    return read;
}

static ssmc_status
file_new(const char *path, RtTensorFile **out)
{
    RtTensorFile *file = calloc(1, sizeof *file);
    char *copy = strdup(path);
    if (!file || !copy) {
        free(file);
        free(copy);
        return rt_fail_memory(sizeof *file, "a file");
    }
    file->path = copy;
    file->mapping = (RtMapping){"", 0};
    *out = file;
    return SSMC_OK;
}

static ssmc_status
finish(RtTensorFile *file, const char *bytes, size_t len, RtTensorFile **out)
{
    const ssmc_status status = read_header(file, bytes, len);
    free(file->extents);
    file->extents = NULL;
    if (status != SSMC_OK)
        rt_tensors_close(file);
    else
        *out = file;
    return status;
}

ssmc_status
rt_tensors_from(const void *bytes, size_t len, const char *path, RtTensorFile **out)
{
    RtTensorFile *file = NULL;
    *out = NULL;
    const ssmc_status status = file_new(path, &file);
    return status == SSMC_OK ? finish(file, bytes, len, out) : status;
}

ssmc_status
rt_tensors_open(const char *path, RtTensorFile **out)
{
    RtTensorFile *file = NULL;
    *out = NULL;
    ssmc_status status = file_new(path, &file);
    if (status != SSMC_OK)
        return status;
    status = rt_map_file(path, &file->mapping);
    if (status == SSMC_OK)
        return finish(file, file->mapping.data, file->mapping.len, out);
    rt_tensors_close(file);
    return status;
}

void
rt_tensors_close(RtTensorFile *file)
{
    if (!file)
        return;
    rt_unmap_file(&file->mapping);
    rt_index_free(&file->index);
    free(file->tensors);
    free(file->extents);
    free(file->names);
    free(file->path);
    free(file);
}

int
rt_tensors_count(const RtTensorFile *file)
{
    return file->count;
}

const RtTensor *
rt_tensors_at(const RtTensorFile *file, int i)
{
    return &file->tensors[i];
}

const RtTensor *
rt_tensors_find(const RtTensorFile *file, const char *name)
{
    const int i = rt_index_find(&file->index, name, strlen(name));
    return i < 0 ? NULL : &file->tensors[i];
}
