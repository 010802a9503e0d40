/* runtime/gguf.c -- see gguf.h. */
#include "runtime/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gguf_types.h"
#include "runtime/tensors.h"

struct RtGguf {
    RtMapping mapping; /* owns; empty when the bytes are borrowed */
    RtGgufKey *keys;   /* owns: [nkeys] */
    size_t nkeys;
    RtGgufTensor *tensors; /* owns: [ntensors]; of all parts */
    size_t ntensors;
    RtMapping *parts; /* owns: [nparts], the files behind the first */
    size_t nparts;
};

static RtText
quote(const char *text, size_t len)
{
    char name[128] = {0};
    memcpy(name, text, len < sizeof name - 1 ? len : sizeof name - 1);
    return rt_quote(name);
}

/* ---- reading ------------------------------------------------------------------------------- */

typedef struct {
    const char *path, *at, *end;
} Reader;

static bool
cut_off(const Reader *r, const char *what)
{
    rt_fail(SSMC_BAD_FILE, "%s: it is cut off in %s", r->path, what);
    return false;
}

static bool
take_number(Reader *r, int bytes, uint64_t *out, const char *what)
{
    if (r->end - r->at < bytes)
        return cut_off(r, what);
    *out = rt_little_endian(r->at, bytes);
    r->at += bytes;
    return true;
}

static bool
take_text(Reader *r, RtGgufText *out, const char *what)
{
    uint64_t len = 0;
    if (!take_number(r, 8, &len, what))
        return false;
    if (len > (uint64_t)(r->end - r->at))
        return cut_off(r, what);
    *out = (RtGgufText){r->at, (size_t)len};
    r->at += len;
    return true;
}

/* Bytes of a value of a kind; 0: strings and arrays. */
static int
kind_bytes(RtGgufKind kind)
{
    static const int bytes[RT_GGUF_KINDS] = {
        [RT_GGUF_U8] = 1,  [RT_GGUF_I8] = 1,  [RT_GGUF_U16] = 2, [RT_GGUF_I16] = 2,
        [RT_GGUF_U32] = 4, [RT_GGUF_I32] = 4, [RT_GGUF_F32] = 4, [RT_GGUF_BOOL] = 1,
        [RT_GGUF_U64] = 8, [RT_GGUF_I64] = 8, [RT_GGUF_F64] = 8,
    };
    return bytes[kind];
}

static bool
take_kind(Reader *r, const RtGgufKey *key, RtGgufKind *out)
{
    uint64_t kind = 0;
    if (!take_number(r, 4, &kind, "a key-value"))
        return false;
    *out = (RtGgufKind)kind;
    if (kind < RT_GGUF_KINDS)
        return true;
    rt_fail(SSMC_BAD_FILE, "%s: key '%s' has a value of kind %" PRIu64 ", which there is not",
            r->path, quote(key->name.text, key->name.len).text, kind);
    return false;
}

static bool
take_key(Reader *r, RtGgufKey *key)
{
    *key = (RtGgufKey){.count = 1};
    if (!take_text(r, &key->name, "a key-value") || !take_kind(r, key, &key->kind))
        return false;
    if (key->kind == RT_GGUF_ARRAY) {
        key->array = true;
        if (!take_kind(r, key, &key->kind) || !take_number(r, 8, &key->count, "a key-value"))
            return false;
    }
    key->value = r->at;
    if (key->kind == RT_GGUF_ARRAY) {
        rt_fail(SSMC_BAD_FILE, "%s: key '%s' is an array of arrays, which no key is", r->path,
                quote(key->name.text, key->name.len).text);
        return false;
    }
    const size_t left = (size_t)(r->end - r->at);
    const size_t least = key->kind == RT_GGUF_STRING ? 8 : (size_t)kind_bytes(key->kind);
    if (key->count > left / least)
        return cut_off(r, "a key-value");
    if (key->kind != RT_GGUF_STRING) {
        r->at += key->count * least;
        return true;
    }
    RtGgufText unused;
    for (uint64_t i = 0; i < key->count; i++)
        if (!take_text(r, &unused, "a key-value"))
            return false;
    return true;
}

/* ---- tensors ------------------------------------------------------------------------------- */

static bool
tensor_fault(const Reader *r, const RtGgufTensor *t, const char *what)
{
    rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' %s", r->path, quote(t->name.text, t->name.len).text,
            what);
    return false;
}

/* *offset: into the data, which is not known to be there yet. */
static bool
take_tensor(Reader *r, RtGgufTensor *t, uint64_t *offset)
{
    uint64_t rank = 0, type = 0;
    if (!take_text(r, &t->name, "the list of tensors") ||
        !take_number(r, 4, &rank, "the list of tensors"))
        return false;
    if (t->name.len == 0 || memchr(t->name.text, '\0', t->name.len))
        return tensor_fault(r, t, "has a name that is none");
    if (rank > RT_GGUF_RANK)
        return tensor_fault(r, t, "has more than 4 dimensions");
    t->rank = (int)rank;
    for (int i = t->rank; i-- > 0;) {
        uint64_t dim = 0;
        if (!take_number(r, 8, &dim, "the list of tensors"))
            return false;
        if (dim > INT64_MAX)
            return tensor_fault(r, t, "has a dimension larger than any");
        t->dim[i] = (int64_t)dim;
    }
    if (!take_number(r, 4, &type, "the list of tensors") ||
        !take_number(r, 8, offset, "the list of tensors"))
        return false;
    t->type = (uint32_t)type;
    const RtGgufType *how = rt_gguf_type(t->type);
    if (!how) {
        rt_fail(SSMC_BAD_FILE,
                "%s: tensor '%s' is of GGML type %" PRIu64
                ", which ssmc does not read; it reads %s",
                r->path, quote(t->name.text, t->name.len).text, type, rt_gguf_type_names());
        return false;
    }
    const int64_t row = t->rank ? t->dim[t->rank - 1] : 1;
    size_t count = 0;
    if (row % how->block)
        return tensor_fault(r, t, "has rows that are not whole blocks");
    if (!rt_tensor_bytes(8, t->dim, t->rank, &count) ||
        !rt_mul(count / (size_t)how->block, (size_t)how->bytes, &t->bytes))
        return tensor_fault(r, t, "is larger than memory can be");
    return true;
}

static bool
place_tensor(const Reader *r, RtGgufTensor *t, uint64_t offset, uint64_t alignment)
{
    const size_t data = (size_t)(r->end - r->at);
    if (offset % alignment)
        return tensor_fault(r, t, "does not start where the file's alignment lets it");
    if (offset > data || t->bytes > data - (size_t)offset)
        return tensor_fault(r, t, "ends behind the file");
    t->data = r->at + offset;
    return true;
}

/* ---- the file ------------------------------------------------------------------------------ */

static bool
take_header(Reader *r, uint64_t *tensors, uint64_t *keys)
{
    enum { MAGIC = 4, LEAST_KEY = 8 + 4 + 1, LEAST_TENSOR = 8 + 4 + 4 + 8 };
    uint64_t version = 0;
    if (r->end - r->at < MAGIC || memcmp(r->at, "GGUF", MAGIC) != 0) {
        rt_fail(SSMC_BAD_FILE, "%s is no GGUF file", r->path);
        return false;
    }
    r->at += MAGIC;
    if (!take_number(r, 4, &version, "its header"))
        return false;
    if (version != 2 && version != 3) {
        rt_fail(SSMC_BAD_FILE, "%s: GGUF of version %" PRIu64 "%s, expected 2 or 3", r->path,
                version, version > 0xFFFF ? " (big-endian?)" : "");
        return false;
    }
    if (!take_number(r, 8, tensors, "its header") || !take_number(r, 8, keys, "its header"))
        return false;
    const uint64_t left = (uint64_t)(r->end - r->at);
    if (*tensors > left / LEAST_TENSOR || *keys > left / LEAST_KEY || *tensors > INT32_MAX) {
        rt_fail(SSMC_BAD_FILE,
                "%s: it says %" PRIu64 " key-values and %" PRIu64
                " tensors, which do not fit into its %" PRIu64 " bytes",
                r->path, *keys, *tensors, left);
        return false;
    }
    return true;
}

static bool
take_alignment(Reader *r, const RtGguf *g, uint64_t *out)
{
    enum { USUAL = 32, MOST = 1 << 20 };
    const RtGgufKey *key = rt_gguf_find(g, "general.alignment");
    int64_t n = USUAL;
    if (key && (!rt_gguf_int(key, 0, &n) || n < 8 || n > MOST || n & (n - 1))) {
        rt_fail(SSMC_BAD_FILE, "%s: general.alignment is no power of two from 8 to %d", r->path,
                MOST);
        return false;
    }
    *out = (uint64_t)n;
    return true;
}

static bool
read_all(RtGguf *g, Reader *r, const char *begin)
{
    uint64_t tensors = 0, keys = 0, alignment = 0;
    if (!take_header(r, &tensors, &keys))
        return false;
    g->keys = calloc(keys + 1, sizeof *g->keys);
    g->tensors = calloc(tensors + 1, sizeof *g->tensors);
    uint64_t *offset = calloc(tensors + 1, sizeof *offset);
    bool good = g->keys && g->tensors && offset;
    if (!good)
        rt_fail_memory((size_t)(keys + tensors) * sizeof *g->tensors, "the lists of a GGUF");
    for (; good && g->nkeys < keys; g->nkeys += good)
        good = take_key(r, &g->keys[g->nkeys]);
    for (; good && g->ntensors < tensors; g->ntensors += good)
        good = take_tensor(r, &g->tensors[g->ntensors], &offset[g->ntensors]);
    good = good && take_alignment(r, g, &alignment);
    if (good) {
        const size_t used = (size_t)(r->at - begin), over = used % alignment;
        const size_t skip = over ? alignment - over : 0;
        r->at += skip < (size_t)(r->end - r->at) ? skip : (size_t)(r->end - r->at);
    }
    for (size_t i = 0; good && i < g->ntensors; i++)
        good = place_tensor(r, &g->tensors[i], offset[i], alignment);
    free(offset);
    return good;
}

/* ---- parts --------------------------------------------------------------------------------- */

/* A model in several files, NAME-00001-of-00003.gguf and so on: the first has the key-values, each
 * its own tensors and place (llama.cpp's gguf-split). */

static int64_t
number_of(const RtGguf *g, const char *key, int64_t otherwise)
{
    int64_t n = otherwise;
    rt_gguf_int(rt_gguf_find(g, key), 0, &n);
    return n;
}

/* The path of part i of `count`, malloc; NULL: the first's does not end as it must. */
static char *
part_path(const char *first, int64_t i, int64_t count)
{
    char end[32];
    const size_t len = strlen(first);
    const int n = snprintf(end, sizeof end, "-00001-of-%05" PRId64 ".gguf", count);
    if (len < (size_t)n || strcmp(first + len - n, end) != 0) {
        rt_fail(SSMC_BAD_FILE,
                "%s: it is the first of %" PRId64 " files, so that its name must end with %s",
                first, count, end);
        return NULL;
    }
    char *path = strdup(first);
    if (path)
        snprintf(path + len - n, (size_t)n + 1, "-%05" PRId64 "-of-%05" PRId64 ".gguf", i + 1,
                 count);
    else
        rt_fail_memory(len, "a path");
    return path;
}

/* Tensors of a part go behind those that are there. */
static bool
append(RtGguf *g, const RtGguf *part)
{
    const size_t count = g->ntensors + part->ntensors;
    size_t bytes = SIZE_MAX;
    RtGgufTensor *all = NULL;
    if (count < INT32_MAX && rt_mul(count + 1, sizeof *all, &bytes))
        all = realloc(g->tensors, bytes);
    if (!all) {
        rt_fail_memory(bytes, "a list of tensors");
        return false;
    }
    g->tensors = all;
    memcpy(all + g->ntensors, part->tensors, part->ntensors * sizeof *all);
    g->ntensors = count;
    return true;
}

static bool
read_part(RtGguf *g, const char *path, int64_t i, int64_t count)
{
    RtGguf part = {0};
    RtMapping *mapping = &g->parts[g->nparts];
    *mapping = (RtMapping){.data = ""};
    if (rt_map_file(path, mapping) != SSMC_OK)
        return false;
    g->nparts++;
    Reader r = {path, mapping->data, mapping->data + mapping->len};
    bool good = read_all(&part, &r, mapping->data);
    if (good &&
        (number_of(&part, "split.no", -1) != i || number_of(&part, "split.count", 0) != count)) {
        rt_fail(SSMC_BAD_FILE, "%s: it does not say that it is part %" PRId64 " of %" PRId64, path,
                i + 1, count);
        good = false;
    }
    good = good && append(g, &part);
    free(part.keys);
    free(part.tensors);
    return good;
}

static bool
read_parts(RtGguf *g, const char *path)
{
    enum { MOST_PARTS = 99999 }; /* five digits */
    const int64_t count = number_of(g, "split.count", 1), no = number_of(g, "split.no", 0);
    if (count <= 1)
        return true;
    if (count > MOST_PARTS || no != 0) {
        rt_fail(SSMC_BAD_FILE, "%s: it is part %" PRId64 " of %" PRId64 "; give the first", path,
                no < INT64_MAX ? no + 1 : no, count);
        return false;
    }
    bool good = true;
    for (int64_t i = 1; good && i < count; i++) {
        char *of_part = part_path(path, i, count);
        RtMapping *parts = of_part ? realloc(g->parts, (size_t)i * sizeof *parts) : NULL;
        if (parts)
            g->parts = parts;
        else if (of_part)
            rt_fail_memory((size_t)i * sizeof *parts, "a list of files");
        good = parts && read_part(g, of_part, i, count);
        free(of_part);
    }
    const int64_t tensors = number_of(g, "split.tensors.count", (int64_t)g->ntensors);
    if (good && tensors != (int64_t)g->ntensors) {
        rt_fail(SSMC_BAD_FILE, "%s: its %" PRId64 " parts have %zu tensors, but it says %" PRId64,
                path, count, g->ntensors, tensors);
        return false;
    }
    return good;
}

size_t
rt_gguf_take_parts(RtGguf *gguf, RtMapping **out)
{
    const size_t count = gguf->nparts;
    *out = gguf->parts;
    gguf->parts = NULL;
    gguf->nparts = 0;
    return count;
}

RtGguf *
rt_gguf_open(const char *path, const char *bytes, size_t len, const char **why)
{
    RtGguf *g = calloc(1, sizeof *g);
    bool good = g != NULL;
    if (!g)
        rt_fail_memory(sizeof *g, "a file");
    if (good && !bytes) {
        g->mapping = (RtMapping){.data = ""};
        good = rt_map_file(path, &g->mapping) == SSMC_OK;
        bytes = g->mapping.data;
        len = g->mapping.len;
    }
    Reader r = {path, bytes, bytes + len};
    if (good && read_all(g, &r, bytes) && read_parts(g, path))
        return g;
    *why = ssmc_error();
    rt_gguf_close(g);
    return NULL;
}

void
rt_gguf_close(RtGguf *gguf)
{
    if (!gguf)
        return;
    rt_unmap_file(&gguf->mapping);
    for (size_t i = 0; i < gguf->nparts; i++)
        rt_unmap_file(&gguf->parts[i]);
    free(gguf->parts);
    free(gguf->keys);
    free(gguf->tensors);
    free(gguf);
}

/* ---- looking up ---------------------------------------------------------------------------- */

bool
rt_gguf_text_is(RtGgufText text, const char *what)
{
    return text.len == strlen(what) && memcmp(text.text, what, text.len) == 0;
}

const RtGgufKey *
rt_gguf_find(const RtGguf *gguf, const char *name)
{
    for (size_t i = 0; i < gguf->nkeys; i++)
        if (rt_gguf_text_is(gguf->keys[i].name, name))
            return &gguf->keys[i];
    return NULL;
}

size_t
rt_gguf_tensors(const RtGguf *gguf)
{
    return gguf->ntensors;
}

const RtGgufTensor *
rt_gguf_tensor(const RtGguf *gguf, size_t i)
{
    return &gguf->tensors[i];
}

const RtGgufTensor *
rt_gguf_tensor_named(const RtGguf *gguf, const char *name)
{
    for (size_t i = 0; i < gguf->ntensors; i++)
        if (rt_gguf_text_is(gguf->tensors[i].name, name))
            return &gguf->tensors[i];
    return NULL;
}

bool
rt_gguf_int(const RtGgufKey *key, uint64_t i, int64_t *out)
{
    const int bytes = key ? kind_bytes(key->kind) : 0;
    if (bytes == 0 || i >= key->count || key->kind == RT_GGUF_F32 || key->kind == RT_GGUF_F64)
        return false;
    const uint64_t n = rt_little_endian(key->value + i * (uint64_t)bytes, bytes);
    const bool is_signed = key->kind == RT_GGUF_I8 || key->kind == RT_GGUF_I16 ||
                           key->kind == RT_GGUF_I32 || key->kind == RT_GGUF_I64;
    if (key->kind == RT_GGUF_U64 && n > INT64_MAX)
        return false;
    const int unused = 64 - 8 * bytes;
    *out = is_signed ? (int64_t)(n << unused) >> unused : (int64_t)n;
    return true;
}

bool
rt_gguf_float(const RtGgufKey *key, uint64_t i, double *out)
{
    int64_t whole = 0;
    if (rt_gguf_int(key, i, &whole)) {
        *out = (double)whole;
        return true;
    }
    if (!key || i >= key->count || key->kind == RT_GGUF_STRING)
        return false;
    const int bytes = kind_bytes(key->kind);
    const uint64_t n = rt_little_endian(key->value + i * (uint64_t)bytes, bytes);
    const uint32_t half = (uint32_t)n;
    float f;
    memcpy(&f, &half, sizeof f);
    *out = (double)f;
    if (bytes == 8)
        memcpy(out, &n, sizeof *out);
    return true;
}

bool
rt_gguf_text(const RtGgufKey *key, const char **at, RtGgufText *out)
{
    if (!key || key->kind != RT_GGUF_STRING || key->count == 0)
        return false;
    const char *from = *at ? *at : key->value;
    out->len = (size_t)rt_little_endian(from, 8);
    out->text = from + 8;
    *at = out->text + out->len;
    return true;
}

/* The key "ARCHITECTURE.what"; 0: there is none, or it is no number above 0. */
static int64_t
count_of(const RtGguf *g, const char *arch, const char *what)
{
    char key[128];
    int64_t n = 0;
    snprintf(key, sizeof key, "%s.%s", arch, what);
    return rt_gguf_int(rt_gguf_find(g, key), 0, &n) && n > 0 ? n : 0;
}

int64_t
rt_gguf_layers(const RtGguf *gguf, const char *arch, int64_t *ahead)
{
    const int64_t layers = count_of(gguf, arch, "block_count");
    *ahead = count_of(gguf, arch, "nextn_predict_layers");
    if (*ahead >= layers)
        *ahead = 0;
    return layers;
}
