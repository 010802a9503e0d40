/* runtime/gguf_read.c -- the tensors of a GGUF file as those of the checkpoint that it was made of:
 * under their names there, and what the converter changed changed back (gguf_tensors.def).
 *
 * What kernels read lies in the file. Types with blocks become F32, and so do tensors whose values
 * are others here; rows that stand in another order are copied. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gguf.h"
#include "runtime/gguf_types.h"
#include "runtime/tensors.h"

typedef enum {
    CHANGE_same,
    CHANGE_flat,
    CHANGE_conv,
    CHANGE_log,
    CHANGE_less,
    CHANGE_queries,
    CHANGE_keys
} Change;

typedef struct {
    const char *arch, *from, *to;
    Change change;
} Row;

static const Row rows[] = {
#define GGUF_TENSOR(arch, from, to, change) {arch, from, to, CHANGE_##change},
#include "runtime/gguf_tensors.def"
#undef GGUF_TENSOR
};

typedef struct {
    RtTensorFile *file;
    const RtGguf *gguf;
    char arch[64];
    char *room;      /* for the next name */
    size_t made;     /* bytes of file->made that are in use */
    int unpacked;    /* tensors with blocks */
    char types[256]; /* theirs, each once */
} Reader;

/* ---- names --------------------------------------------------------------------------------- */

/* Whether a name is a pattern's; its digits where the pattern has #. */
static bool
name_fits(const char *pattern, RtGgufText name, RtGgufText *number)
{
    size_t at = 0;
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (at == name.len || name.text[at++] != *pattern)
                return false;
            continue;
        }
        number->text = name.text + at;
        while (at < name.len && name.text[at] >= '0' && name.text[at] <= '9')
            at++;
        number->len = (size_t)(name.text + at - number->text);
        if (number->len == 0)
            return false;
    }
    return at == name.len;
}

/* Writes a tensor's name here, and returns its row; NULL: it keeps its name. */
static const Row *
put_name(Reader *r, RtGgufText name, const char **out)
{
    RtGgufText number = {0};
    const Row *row = NULL;
    for (size_t i = 0; i < RT_COUNT(rows) && !row; i++)
        if (strcmp(rows[i].arch, r->arch) == 0 && name_fits(rows[i].from, name, &number))
            row = &rows[i];
    *out = r->room;
    for (const char *at = row ? row->to : ""; *at; at++) {
        const size_t n = *at == '#' ? number.len : 1;
        memcpy(r->room, *at == '#' ? number.text : at, n);
        r->room += n;
    }
    if (!row) {
        memcpy(r->room, name.text, name.len);
        r->room += name.len;
    }
    *r->room++ = '\0';
    return row;
}

/* ---- shapes -------------------------------------------------------------------------------- */

static void
set_shape(RtTensor *t, const RtGgufTensor *from, Change change)
{
    t->rank = from->rank;
    for (int i = 0; i < from->rank; i++)
        t->dim[i] = from->dim[i];
    if (change == CHANGE_flat) { /* the product fits: bytes were counted */
        t->dim[0] = 1;
        for (int i = 0; i < from->rank; i++)
            t->dim[0] *= from->dim[i];
        t->rank = 1;
    }
    if (change == CHANGE_log && t->rank == 2 && t->dim[1] == 1)
        t->rank = 1;
    if (change == CHANGE_conv && t->rank == 2) {
        t->dim[2] = t->dim[1];
        t->dim[1] = 1;
        t->rank = 3;
    }
}

/* ---- values -------------------------------------------------------------------------------- */

/* Every element is another number here. */
static bool
is_computed(Change change)
{
    return change == CHANGE_log || change == CHANGE_less;
}

static bool
is_made(const RtGgufType *type, Change change)
{
    return type->block > 1 || is_computed(change) || change == CHANGE_queries ||
           change == CHANGE_keys;
}

static bool
made_bytes(const RtGgufTensor *t, const RtGgufType *type, Change change, size_t *out)
{
    if (type->block == 1 && !is_computed(change))
        return rt_round_up(t->bytes, RT_LINE, out);
    const size_t blocks = t->bytes / (size_t)type->bytes;
    return rt_mul(blocks, (size_t)type->block * sizeof(float), out) &&
           rt_round_up(*out, RT_LINE, out);
}

static float
plain_at(const RtGgufType *type, const char *at)
{
    double wide = 0;
    float f = 0;
    uint32_t bits = (uint32_t)rt_little_endian(at, type->bytes == 2 ? 2 : 4);
    if (strcmp(type->name, "F64") == 0) {
        memcpy(&wide, at, sizeof wide);
        return (float)wide;
    }
    if (strcmp(type->name, "F16") == 0)
        return rt_gguf_half((const unsigned char *)at);
    if (strcmp(type->name, "BF16") == 0)
        bits <<= 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* False: a value has none. */
static bool
compute(const RtGgufTensor *t, const RtGgufType *type, Change change, float *out)
{
    const size_t count = t->bytes / (size_t)type->bytes;
    for (size_t i = 0; i < count; i++) {
        const float x = plain_at(type, t->data + i * (size_t)type->bytes);
        if (change == CHANGE_log && (!(x < 0) || isinf(x)))
            return false;
        out[i] = change == CHANGE_log ? logf(-x) : x - 1;
    }
    return true;
}

/* Where row i of a tensor with so many heads goes: of a head's rows, the first of each pair come
 * first. */
static size_t
row_here(size_t i, size_t rows_of_head)
{
    const size_t head = i / rows_of_head, in = i % rows_of_head;
    return head * rows_of_head + in % 2 * (rows_of_head / 2) + in / 2;
}

/* Row by row; rows_of_head 0: they stay where they are. */
static void
make_rows(const RtGgufTensor *t, const RtGgufType *type, size_t rows_of_head, char *out)
{
    const size_t count = t->rank > 1 ? (size_t)t->dim[0] : rows_of_head ? (size_t)t->dim[0] : 1;
    const size_t bytes = count ? t->bytes / count : 0, blocks = bytes / (size_t)type->bytes;
    const size_t size = type->block == 1 ? bytes : blocks * (size_t)type->block * sizeof(float);
    for (size_t i = 0; i < count; i++) {
        const char *from = t->data + i * bytes;
        char *to = out + (rows_of_head ? row_here(i, rows_of_head) : i) * size;
        if (type->block == 1) {
            memcpy(to, from, bytes);
            continue;
        }
        for (size_t b = 0; b < blocks; b++)
            rt_gguf_unpack(type, (const unsigned char *)from + b * (size_t)type->bytes,
                           (float *)(void *)to + b * (size_t)type->block);
    }
}

static ssmc_status
head_rows(const Reader *r, const char *name, const RtGgufTensor *t, Change change, size_t *out)
{
    char key[128];
    int64_t heads = 0;
    snprintf(key, sizeof key, "%s.attention.head_count%s", r->arch,
             change == CHANGE_keys ? "_kv" : "");
    const RtGgufKey *found = rt_gguf_find(r->gguf, key);
    if (!found && change == CHANGE_keys) {
        snprintf(key, sizeof key, "%s.attention.head_count", r->arch);
        found = rt_gguf_find(r->gguf, key);
    }
    for (uint64_t i = 0; found && i < found->count; i++) { /* 0 in layers without attention */
        int64_t n = 0;
        heads = rt_gguf_int(found, i, &n) && n > heads ? n : heads;
    }
    if (heads <= 0)
        return rt_fail(SSMC_BAD_FILE, "%s: %s is no number of heads", r->file->path, key);
    if (t->rank < 1 || t->rank > 2 || t->dim[0] % heads || t->dim[0] / heads % 2)
        return rt_fail(
            SSMC_BAD_FILE,
            "%s: tensor '%s' has %lld rows, which are no even number for each of %s = %lld",
            r->file->path, rt_quote(name).text, t->rank ? (long long)t->dim[0] : 1LL, key,
            (long long)heads);
    *out = (size_t)(t->dim[0] / heads);
    return SSMC_OK;
}

/* For the note. */
static void
count_unpacked(Reader *r, const RtGgufType *type)
{
    r->unpacked++;
    if (strstr(r->types, type->name) || strlen(r->types) + 16 >= sizeof r->types)
        return;
    strcat(r->types, r->types[0] ? ", " : "");
    strcat(r->types, type->name);
}

static ssmc_status
make_tensor(Reader *r, RtTensor *to, const RtGgufTensor *t, const RtGgufType *type, Change change)
{
    size_t bytes = 0, rows_of_head = 0;
    char *out = r->file->made + r->made;
    made_bytes(t, type, change, &bytes);
    r->made += bytes;
    to->data = out;
    if (change == CHANGE_queries || change == CHANGE_keys) {
        const ssmc_status status = head_rows(r, to->name, t, change, &rows_of_head);
        if (status != SSMC_OK)
            return status;
    }
    const bool same = type->block == 1 && !is_computed(change);
    to->dtype = rt_dtype_name(same ? type->name : "F32");
    to->bytes =
        same ? t->bytes : t->bytes / (size_t)type->bytes * (size_t)type->block * sizeof(float);
    if (!is_computed(change))
        make_rows(t, type, rows_of_head, out);
    else if (type->block > 1)
        return rt_fail(SSMC_BAD_FILE, "%s: tensor '%s' is %s; expected F32, F16, BF16 or F64",
                       r->file->path, rt_quote(to->name).text, type->name);
    else if (!compute(t, type, change, (float *)(void *)out))
        return rt_fail(SSMC_BAD_FILE,
                       "%s: tensor '%s', a state's decay, has a value that is not below 0",
                       r->file->path, rt_quote(to->name).text);
    if (type->block > 1)
        count_unpacked(r, type);
    return SSMC_OK;
}

/* ---- the file ------------------------------------------------------------------------------ */

static ssmc_status
read_architecture(Reader *r)
{
    char known[256] = "";
    const char *at = NULL;
    RtGgufText text = {0};
    const RtGgufKey *key = rt_gguf_find(r->gguf, "general.architecture");
    if (!rt_gguf_text(key, &at, &text))
        return rt_fail(SSMC_BAD_FILE, "%s: it has no general.architecture", r->file->path);
    memcpy(r->arch, text.text, text.len < sizeof r->arch - 1 ? text.len : sizeof r->arch - 1);
    bool found = false;
    for (size_t i = 0; i < RT_COUNT(rows); i++) {
        found = found || rt_gguf_text_is(text, rows[i].arch);
        if (i > 0 && strcmp(rows[i].arch, rows[i - 1].arch) == 0)
            continue;
        strcat(known, known[0] ? ", " : "");
        strcat(known, rows[i].arch);
    }
    if (!found)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: its general.architecture is '%s'; GGUF files are read of %s",
                       r->file->path, rt_quote(r->arch).text, known);
    return SSMC_OK;
}

static ssmc_status
make_room(Reader *r)
{
    enum { LONGEST_NAME = 128 };
    const size_t count = rt_gguf_tensors(r->gguf);
    size_t names = 0;
    for (size_t i = 0; i < count; i++)
        names += rt_gguf_tensor(r->gguf, i)->name.len + LONGEST_NAME;
    const ssmc_status status = rt_tensors_room(r->file, count, names);
    r->room = r->file->names;
    return status;
}

static ssmc_status
read_tensors(Reader *r)
{
    RtTensorFile *file = r->file;
    const size_t count = rt_gguf_tensors(r->gguf);
    Change *change = calloc(count + 1, sizeof *change);
    if (!change)
        return rt_fail_memory(count * sizeof *change, "a list of tensors");
    size_t made = 0, bytes = 0;
    ssmc_status status = SSMC_OK;
    for (size_t i = 0; i < count && status == SSMC_OK; i++) {
        const RtGgufTensor *t = rt_gguf_tensor(r->gguf, i);
        const RtGgufType *type = rt_gguf_type(t->type);
        RtTensor *to = &file->tensors[file->count++];
        const Row *row = put_name(r, t->name, &to->name);
        change[i] = row ? row->change : CHANGE_same;
        set_shape(to, t, change[i]);
        to->dtype = rt_dtype_name(type->name);
        to->data = t->data;
        to->bytes = t->bytes;
        if (is_made(type, change[i]) &&
            (!made_bytes(t, type, change[i], &bytes) || !rt_add(made, bytes, &made)))
            status = rt_fail_memory(SIZE_MAX, "converted weights");
    }
    if (status == SSMC_OK && made) {
        file->made = rt_pages_new(made);
        file->made_bytes = made;
        if (!file->made)
            status = rt_fail_memory(made, "converted weights");
    }
    for (size_t i = 0; i < count && status == SSMC_OK; i++) {
        const RtGgufTensor *t = rt_gguf_tensor(r->gguf, i);
        const RtGgufType *type = rt_gguf_type(t->type);
        if (is_made(type, change[i]))
            status = make_tensor(r, &file->tensors[i], t, type, change[i]);
    }
    free(change);
    return status;
}

static void
put_note(Reader *r)
{
    enum { ROOM = 512 };
    if (!r->unpacked || !(r->file->note = malloc(ROOM)))
        return;
    snprintf(r->file->note, ROOM, "%d tensors of %s are read as f32", r->unpacked, r->types);
}

ssmc_status
rt_gguf_read(RtTensorFile *file, const char *bytes, size_t len)
{
    const char *why = NULL;
    RtGguf *gguf = rt_gguf_open(file->path, bytes, len, &why);
    if (!gguf)
        return SSMC_BAD_FILE;
    file->nparts = rt_gguf_take_parts(gguf, &file->parts); /* tensors lie in them */
    Reader r = {.file = file, .gguf = gguf};
    ssmc_status status = read_architecture(&r);
    if (status == SSMC_OK)
        status = make_room(&r);
    if (status == SSMC_OK)
        status = read_tensors(&r);
    if (status == SSMC_OK)
        put_note(&r);
    rt_gguf_close(gguf);
    return status;
}
