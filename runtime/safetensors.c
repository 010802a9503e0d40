/* runtime/safetensors.c -- the reader of safetensors files: 8 bytes of header length N
 * (little-endian), N bytes of JSON {"name": {"dtype": "F32", "shape": [2,3], "data_offsets":
 * [begin, end]}, ...}, then the data, which the offsets cover without gap or overlap. Nothing of a
 * file is believed before it is checked. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"
#include "runtime/tensors.h"

enum { LENGTH_BYTES = 8 };

typedef struct {
    uint64_t begin, end; /* bytes after the header */
    int tensor;
} Extent;

/* One header being read. */
typedef struct {
    RtTensorFile *file;
    Extent *extents;  /* [count of the file]; sorted by begin after all */
    const char *data; /* [data_len], behind the header */
    uint64_t data_len;
    char *room; /* free part of file->names, which is as long as the header */
} Reader;

/* ---- one tensor ---------------------------------------------------------------------------- */

static ssmc_status
tensor_fault(const Reader *r, const RtTensor *t, const char *what)
{
    return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' %s", r->file->path, rt_quote(t->name).text,
                   what);
}

/* A value for a message. Of a whole number past 2^64-1 json-c does not keep the digits. */
static const char *
shown(json_object *value)
{
    const char *text = NULL;
    if (json_object_is_type(value, json_type_int) && json_object_get_uint64(value) > INT64_MAX)
        return "a larger number";
    if (!json_object_is_type(value, json_type_object) &&
        !json_object_is_type(value, json_type_array))
        text = json_object_to_json_string(value);
    return text ? text : rt_json_kind(value);
}

static ssmc_status
field_fault(const Reader *r, const RtTensor *t, const char *field, json_object *found,
            const char *wanted)
{
    return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s': %s: found %s; expected %s", r->file->path,
                   rt_quote(t->name).text, field, rt_quote(shown(found)).text, wanted);
}

static ssmc_status
read_dtype(const Reader *r, json_object *value, RtTensor *t)
{
    static const char wanted[] = "a name like F32, F16 or BF16";
    if (!json_object_is_type(value, json_type_string))
        return field_fault(r, t, "dtype", value, wanted);
    t->dtype = rt_dtype_name(json_object_get_string(value));
    if (t->dtype)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s': unknown dtype '%s'; expected %s", r->file->path,
                   rt_quote(t->name).text, rt_quote(json_object_get_string(value)).text, wanted);
}

/* A list of at most `most` whole numbers. */
static ssmc_status
read_counts(const Reader *r, const RtTensor *t, const char *field, json_object *value, size_t most,
            int64_t *out)
{
    if (!json_object_is_type(value, json_type_array))
        return field_fault(r, t, field, value, "a list of numbers");
    const size_t n = json_object_array_length(value);
    if (n > most)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s': %s has %zu numbers; at most %zu are possible",
                       r->file->path, rt_quote(t->name).text, field, n, most);
    for (size_t i = 0; i < n; i++) {
        json_object *number = json_object_array_get_idx(value, i);
        if (!rt_json_count(number, &out[i]))
            return field_fault(r, t, field, number, "a whole number from 0 to 2^63-1");
    }
    return SSMC_OK;
}

static ssmc_status
read_shape(const Reader *r, json_object *value, RtTensor *t)
{
    const ssmc_status status = read_counts(r, t, "shape", value, RT_MAX_RANK, t->dim);
    if (status == SSMC_OK)
        t->rank = (int)json_object_array_length(value);
    return status;
}

static ssmc_status
read_offsets(const Reader *r, json_object *value, const RtTensor *t, Extent *extent)
{
    int64_t offset[2];
    const ssmc_status status = read_counts(r, t, "data_offsets", value, 2, offset);
    if (status != SSMC_OK)
        return status;
    if (json_object_array_length(value) < 2)
        return tensor_fault(r, t, "has fewer than 2 data_offsets");
    extent->begin = (uint64_t)offset[0];
    extent->end = (uint64_t)offset[1];
    return SSMC_OK;
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

/* Members of other names belong to a later format. */
static ssmc_status
read_tensor(const Reader *r, json_object *entry, RtTensor *t, Extent *extent)
{
    json_object *dtype, *shape, *offsets;
    if (!json_object_is_type(entry, json_type_object))
        return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is %s; expected an object", r->file->path,
                       rt_quote(t->name).text, rt_json_kind(entry));
    if (!json_object_object_get_ex(entry, "dtype", &dtype))
        return tensor_fault(r, t, "has no dtype");
    if (!json_object_object_get_ex(entry, "shape", &shape))
        return tensor_fault(r, t, "has no shape");
    if (!json_object_object_get_ex(entry, "data_offsets", &offsets))
        return tensor_fault(r, t, "has no data_offsets");
    ssmc_status status = read_dtype(r, dtype, t);
    if (status == SSMC_OK)
        status = read_shape(r, shape, t);
    if (status == SSMC_OK)
        status = read_offsets(r, offsets, t, extent);
    if (status == SSMC_OK)
        status = check_extent(r, t, extent);
    if (status != SSMC_OK)
        return status;
    t->data = r->data + extent->begin;
    t->bytes = extent->end - extent->begin;
    return SSMC_OK;
}

/* ---- the header ---------------------------------------------------------------------------- */

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
        qsort(r->extents, (size_t)file->count, sizeof *r->extents, extent_order);
    for (int i = 0; i < file->count; i++) {
        const Extent *e = &r->extents[i];
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
read_entry(Reader *r, const char *name, json_object *entry)
{
    RtTensorFile *file = r->file;
    RtTensor *t = &file->tensors[file->count];
    Extent *extent = &r->extents[file->count];
    const size_t len = strlen(name) + 1; /* no longer than the header spells it, with its quotes */
    *t = (RtTensor){.name = memcpy(r->room, name, len)};
    *extent = (Extent){.tensor = file->count};
    r->room += len;
    file->count++;
    return read_tensor(r, entry, t, extent);
}

static ssmc_status
read_entries(Reader *r, json_object *header)
{
    json_object_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        const ssmc_status status = read_entry(r, name, entry);
        if (status != SSMC_OK)
            return status;
    }
    return check_cover(r);
}

/* ---- the file ------------------------------------------------------------------------------ */

static ssmc_status
check_length(const RtTensorFile *file, const char *bytes, size_t len, size_t *header)
{
    if (len < LENGTH_BYTES)
        return rt_fail(SSMC_BAD_FILE,
                       "%s has %zu bytes; a safetensors file starts with 8 bytes of header length",
                       file->path, len);
    const uint64_t said = rt_little_endian(bytes, LENGTH_BYTES);
    if (said > len - LENGTH_BYTES)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: its first 8 bytes say a header of %" PRIu64 " bytes, but %zu follow",
                       file->path, said, len - LENGTH_BYTES);
    *header = (size_t)said;
    return SSMC_OK;
}

/* The header's text as an object; the caller puts it back. */
static ssmc_status
parse_header(const RtTensorFile *file, const char *text, size_t len, json_object **out)
{
    const size_t room = strlen(file->path) + sizeof ": header";
    char *where = malloc(room);
    if (!where)
        return rt_fail_memory(room, "a path");
    snprintf(where, room, "%s: header", file->path);
    const ssmc_status status = rt_json_parse(text, len, where, out);
    free(where);
    return status;
}

ssmc_status
rt_safetensors_read(RtTensorFile *file, const char *bytes, size_t len)
{
    size_t size = 0;
    json_object *header = NULL;
    ssmc_status status = check_length(file, bytes, len, &size);
    if (status == SSMC_OK)
        status = parse_header(file, bytes + LENGTH_BYTES, size, &header);
    if (status != SSMC_OK)
        return status;
    const size_t count = (size_t)json_object_object_length(header), before = LENGTH_BYTES + size;
    Reader r = {.file = file, .data = bytes + before, .data_len = len - before};
    r.extents = calloc(count + 1, sizeof *r.extents);
    status = r.extents ? rt_tensors_room(file, count, size)
                       : rt_fail_memory(count * sizeof *r.extents, "a list of tensors");
    r.room = file->names;
    if (status == SSMC_OK)
        status = read_entries(&r, header);
    free(r.extents);
    json_object_put(header);
    return status;
}
