/* runtime/tensors_write.c -- safetensors files written, whole or not at all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/json.h"

enum { DATA_ALIGN = 8 }; /* the header is padded with blanks, so that the data starts aligned */

/* ---- checks -------------------------------------------------------------------------------- */

static ssmc_status
check_tensor(const char *path, const RtTensor *t)
{
    const RtText name = rt_quote(t->name);
    size_t bytes = 0;
    if (strcmp(t->name, "__metadata__") == 0)
        return rt_fail(SSMC_BAD_ARGUMENT, "%s: '%s' cannot be the name of a tensor", path,
                       name.text);
    if (!rt_dtype_name(t->dtype))
        return rt_fail(SSMC_BAD_ARGUMENT, "%s: tensor '%s' has the unknown dtype '%s'", path,
                       name.text, t->dtype);
    if (t->rank < 0 || t->rank > RT_MAX_RANK)
        return rt_fail(SSMC_BAD_ARGUMENT, "%s: tensor '%s' has %d dimensions; 0 to %d are possible",
                       path, name.text, t->rank, RT_MAX_RANK);
    if (!rt_tensor_bytes(rt_dtype_bits(t->dtype), t->dim, t->rank, &bytes) || bytes != t->bytes)
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "%s: tensor '%s' has %zu bytes, which %s %s does not take", path, name.text,
                       t->bytes, t->dtype, rt_dims(t->dim, t->rank).text);
    return SSMC_OK;
}

static ssmc_status
check_all(const char *path, const RtTensor *tensors, int count)
{
    for (int i = 0; i < count; i++) {
        const ssmc_status status = check_tensor(path, &tensors[i]);
        if (status != SSMC_OK)
            return status;
    }
    RtIndex index;
    int first, second;
    const ssmc_status status = rt_index_build(&index, tensors, count, &first, &second);
    if (status != SSMC_OK)
        return status;
    rt_index_free(&index);
    if (first < 0)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_ARGUMENT, "%s: two tensors are named '%s'", path,
                   rt_quote(tensors[first].name).text);
}

/* ---- the header ---------------------------------------------------------------------------- */

static void
put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    fputc('"', out);
}

static void
put_header(FILE *out, const RtTensor *tensors, int count)
{
    size_t at = 0;
    fputc('{', out);
    for (int i = 0; i < count; i++) {
        const RtTensor *t = &tensors[i];
        fputs(i ? "," : "", out);
        put_string(out, t->name);
        fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", t->dtype);
        for (int d = 0; d < t->rank; d++)
            fprintf(out, d ? ",%" PRId64 : "%" PRId64, t->dim[d]);
        fprintf(out, "],\"data_offsets\":[%zu,%zu]}", at, at + t->bytes);
        at += t->bytes;
    }
    fputc('}', out);
    for (long len = ftell(out); len % DATA_ALIGN; len++)
        fputc(' ', out);
}

/* malloc; NULL: no memory. */
static char *
header_text(const RtTensor *tensors, int count, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (!out)
        return NULL;
    put_header(out, tensors, count);
    const bool bad = ferror(out) != 0;
    if (fclose(out) == 0 && !bad)
        return text;
    free(text);
    return NULL;
}

/* What is written can be read again; names that are not UTF-8 could not. */
static ssmc_status
check_header(const char *path, const char *header, size_t len)
{
    json_object *parsed;
    if (rt_json_parse(header, len, "the header to be written", &parsed) != SSMC_OK)
        return rt_fail_also(SSMC_BAD_ARGUMENT, "%s was not written", path);
    json_object_put(parsed);
    return SSMC_OK;
}

/* What lies in blocks is written as what it stands for. */
static bool
put_tensor(RtOutput *out, const RtTensor *t)
{
    if (!t->blocks)
        return rt_output_put(out, t->data, t->bytes);
    char *data = rt_pages_new(t->bytes);
    if (!data)
        return false;
    rt_blocks_fill(t->blocks, RT_WHOLE, 0, t->blocks->rows, data);
    const bool ok = rt_output_put(out, data, t->bytes);
    rt_pages_free(data, t->bytes);
    return ok;
}

static bool
put_all(RtOutput *out, const char *header, size_t len, const RtTensor *tensors, int count)
{
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(len >> 8 * i & 0xff);
    bool ok = rt_output_put(out, bytes, sizeof bytes) && rt_output_put(out, header, len);
    for (int i = 0; i < count && ok; i++)
        ok = put_tensor(out, &tensors[i]);
    return ok;
}

ssmc_status
rt_tensors_write(const char *path, const RtTensor *tensors, int count)
{
    ssmc_status status = check_all(path, tensors, count);
    if (status != SSMC_OK)
        return status;
    size_t len = 0;
    char *header = header_text(tensors, count, &len);
    if (!header)
        return rt_fail(SSMC_NO_MEMORY, "no memory for the header of %s", path);
    RtOutput out;
    status = check_header(path, header, len);
    if (status == SSMC_OK)
        status = rt_output_open(path, &out);
    if (status == SSMC_OK)
        status = rt_output_close(&out, put_all(&out, header, len, tensors, count));
    free(header);
    return status;
}
