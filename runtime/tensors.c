/* runtime/tensors.c -- files of tensors, of any format that there is a reader for: opened, looked
 * up, closed. */
#include <stdlib.h>
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/tensors.h"

uint64_t
rt_little_endian(const char *bytes, int count)
{
    uint64_t n = 0;
    for (int i = count; i-- > 0;)
        n = n << 8 | (unsigned char)bytes[i];
    return n;
}

ssmc_status
rt_tensors_room(RtTensorFile *file, size_t tensors, size_t name_bytes)
{
    file->names = malloc(name_bytes + 1);
    file->tensors = calloc(tensors + 1, sizeof *file->tensors);
    if (file->names && file->tensors)
        return SSMC_OK;
    return rt_fail_memory(name_bytes + tensors * sizeof *file->tensors, "a list of tensors");
}

/* By the content: the name of a file says nothing. */
static ssmc_status
read_table(RtTensorFile *file, const char *bytes, size_t len)
{
    int first, second;
    const RtKind kind = rt_kind_of_bytes(bytes, len);
    ssmc_status status;
    if (kind == RT_KIND_torch)
        status = rt_torch_read(file, bytes, len);
    else if (kind == RT_KIND_gguf)
        status = rt_gguf_read(file, bytes, len);
    else if (kind == RT_KIND_safetensors || kind == RT_KIND_empty || kind == RT_KIND_other)
        status = rt_safetensors_read(file, bytes, len);
    else
        status = rt_kind_fault(file->path, kind);
    if (status == SSMC_OK)
        status = rt_index_build(&file->index, file->tensors, file->count, &first, &second);
    if (status != SSMC_OK || first < 0)
        return status;
    return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is there twice", file->path,
                   rt_quote(file->tensors[first].name).text);
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
    file->mapping = (RtMapping){.data = ""};
    *out = file;
    return SSMC_OK;
}

/* Reads bytes, or the file's own mapping (NULL); closes the file on a fault. */
static ssmc_status
finish(RtTensorFile *file, const char *bytes, size_t len, RtTensorFile **out)
{
    ssmc_status status = SSMC_OK;
    if (!bytes) {
        status = rt_map_file(file->path, &file->mapping);
        bytes = file->mapping.data;
        len = file->mapping.len;
    }
    if (status == SSMC_OK)
        status = read_table(file, bytes, len);
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
    const ssmc_status status = file_new(path, &file);
    return status == SSMC_OK ? finish(file, NULL, 0, out) : status;
}

void
rt_tensors_rest(const RtTensorFile *file)
{
    rt_pages_done(file->mapping.data, file->mapping.len);
    for (size_t i = 0; i < file->nparts; i++)
        rt_pages_done(file->parts[i].data, file->parts[i].len);
}

void
rt_tensors_close(RtTensorFile *file)
{
    if (!file)
        return;
    rt_unmap_file(&file->mapping);
    for (size_t i = 0; i < file->nparts; i++)
        rt_unmap_file(&file->parts[i]);
    free(file->parts);
    rt_index_free(&file->index);
    rt_pages_free(file->made, file->made_bytes);
    free(file->blocks);
    free(file->note);
    free(file->tensors);
    free(file->names);
    free(file->path);
    free(file);
}

const char *
rt_tensors_path(const RtTensorFile *file)
{
    return file->path;
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

uint64_t
rt_tensors_identity(const RtTensorFile *file)
{
    enum { SAMPLE = 64 };
    const uint64_t sizes[] = {file->mapping.len, (uint64_t)file->mapping.changed};
    uint64_t hash = rt_hash(sizes, sizeof sizes);
    for (size_t i = 0; i < file->nparts; i++) {
        const uint64_t of_part[] = {file->parts[i].len, (uint64_t)file->parts[i].changed};
        hash = rt_hash_on(hash, of_part, sizeof of_part);
    }
    for (int i = 0; i < file->count; i++) {
        const RtTensor *t = &file->tensors[i];
        const char *data = t->blocks ? t->blocks->data : t->data;
        const size_t bytes = t->blocks ? t->blocks->bytes : t->bytes;
        const size_t n = bytes < SAMPLE ? bytes : SAMPLE;
        hash = rt_hash_on(hash, t->name, strlen(t->name));
        hash = rt_hash_on(hash, t->dtype, strlen(t->dtype));
        hash = rt_hash_on(hash, t->dim, (size_t)t->rank * sizeof *t->dim);
        hash = rt_hash_on(hash, data, n);
        hash = rt_hash_on(hash, data + bytes - n, n);
    }
    return hash;
}
