/* runtime/torch.c -- the reader of files that torch.save writes of a dict of tensors (PyTorch 1.6
 * and later): a zip archive of stored records, FOLDER/data.pkl, a pickle that says names, types,
 * shapes and places, and FOLDER/data/KEY, the numbers of one storage each. Several tensors may lie
 * in one storage, as tied weights do. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/pickle.h"
#include "runtime/tensors.h"
#include "runtime/zip.h"

enum { MOST_TENSORS = 1 << 18, MOST_NAME = 512 };

/* A file being read. */
typedef struct {
    RtTensorFile *file;
    const char *bytes;
    RtZip zip;
    RtPickle pickle;
    const char *folder; /* [folder_len] of the records, with its slash; no NUL behind it */
    size_t folder_len;
    RtTensor *tensor; /* the one being read, with its name */
    const RtPickleValue *value;
} Reader;

/* What a tensor is made of, as its call says it. */
typedef struct {
    const RtPickleValue *storage, *offset, *shape, *stride;
} Parts;

/* ---- faults -------------------------------------------------------------------------------- */

static ssmc_status tensor_fault(const Reader *r, const char *fmt, ...) RT_PRINTF(2, 3);

static ssmc_status
tensor_fault(const Reader *r, const char *fmt, ...)
{
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rt_fail(SSMC_BAD_FILE, "%s: data.pkl: byte %" PRIu32 ": tensor '%s' %s", r->file->path,
                   r->value->at, rt_quote(r->tensor->name).text, what);
}

/* The tensor's call has other arguments than those that PyTorch gives it. */
static ssmc_status
call_fault(const Reader *r, const char *part)
{
    return tensor_fault(r, "is made in a way that is not known: its %s", part);
}

/* ---- records ------------------------------------------------------------------------------- */

/* The record FOLDER/WHATKEY. */
static const RtZipEntry *
record(const Reader *r, const char *what, const char *key, size_t key_len)
{
    char name[MOST_NAME];
    const size_t what_len = strlen(what), len = r->folder_len + what_len + key_len;
    if (key_len > sizeof name || len > sizeof name)
        return NULL;
    memcpy(name, r->folder, r->folder_len);
    memcpy(name + r->folder_len, what, what_len);
    memcpy(name + r->folder_len + what_len, key, key_len);
    return rt_zip_find(&r->zip, name, len);
}

/* The one FOLDER/data.pkl of the archive. */
static ssmc_status
find_pickle(Reader *r, const RtZipEntry **out)
{
    static const char name[] = "/data.pkl";
    const size_t len = sizeof name - 1;
    *out = NULL;
    for (int i = 0; i < r->zip.count; i++) {
        const RtZipEntry *e = &r->zip.entry[i];
        if (e->name_len <= len || memcmp(e->name + e->name_len - len, name, len) != 0 ||
            memchr(e->name, '/', e->name_len - len))
            continue;
        if (*out)
            return rt_fail(SSMC_BAD_FILE, "%s has two records data.pkl", r->file->path);
        *out = e;
    }
    if (!*out)
        return rt_fail(SSMC_BAD_FILE,
                       "%s is a zip archive without data.pkl, which says what "
                       "tensors a PyTorch file has",
                       r->file->path);
    r->folder = (*out)->name;
    r->folder_len = (*out)->name_len - len + 1;
    return SSMC_OK;
}

/* Files of PyTorch before 2.1 have no such record: those are of little-endian machines. */
static ssmc_status
check_byte_order(const Reader *r)
{
    static const char little[] = "little";
    const RtZipEntry *e = record(r, "byteorder", "", 0);
    if (!e || (e->bytes == strlen(little) && memcmp(r->bytes + e->begin, little, e->bytes) == 0))
        return SSMC_OK;
    return rt_fail(
        SSMC_BAD_FILE,
        "%s: its record byteorder does not say 'little': numbers whose highest byte comes "
        "first are not read; save it on a little-endian machine",
        r->file->path);
}

/* ---- one tensor ---------------------------------------------------------------------------- */

/* The first `count` items of a tuple; those that it lacks are NULL. */
static void
items(const RtPickle *p, const RtPickleValue *of, int count, const RtPickleValue **out)
{
    int cell = of->count ? of->first : -1;
    for (int i = 0; i < count; i++) {
        out[i] = cell < 0 ? NULL : &p->value[p->cell[cell].value];
        cell = cell < 0 ? -1 : p->cell[cell].next;
    }
}

static bool
is_count(const RtPickleValue *v)
{
    return v->kind == PICKLE_int && v->number >= 0;
}

/* Nothing, as hooks and metadata of saved weights are: metadata may say that signs are turned. */
static bool
is_empty(const RtPickleValue *v)
{
    return v->kind == PICKLE_none || (v->kind == PICKLE_dict && v->count == 0);
}

/* The call that makes the tensor; of a parameter the call that makes what it holds. */
static ssmc_status
find_call(Reader *r)
{
    const RtPickle *p = &r->pickle;
    if (r->value->kind == PICKLE_call && r->value->global->role == ROLE_parameter) {
        const RtPickleValue *held;
        items(p, &p->value[r->value->with], 1, &held);
        if (!held)
            return call_fault(r, "parameter holds nothing");
        r->value = held;
    }
    if (r->value->kind == PICKLE_call && r->value->global->role == ROLE_tensor)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE,
                   "%s: data.pkl: byte %" PRIu32 ": '%s' is %s; expected a tensor: weights are "
                   "saved by torch.save(model.state_dict(), FILE)",
                   r->file->path, r->value->at, rt_quote(r->tensor->name).text,
                   rt_pickle_kind(r->value));
}

/* _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks[, metadata]) */
static ssmc_status
read_call(const Reader *r, Parts *out)
{
    enum { LEAST = 6, MOST };
    const RtPickleValue *with = &r->pickle.value[r->value->with], *of[MOST];
    if (with->count < LEAST || with->count > MOST)
        return call_fault(r, "arguments are not 6 or 7");
    items(&r->pickle, with, MOST, of);
    if (of[0]->kind != PICKLE_outside)
        return call_fault(r, "storage is not one");
    if (!is_count(of[1]))
        return call_fault(r, "offset is no number from 0 on");
    if (of[2]->kind != PICKLE_tuple || of[3]->kind != PICKLE_tuple || of[2]->count != of[3]->count)
        return call_fault(r, "shape and strides are no tuples of one length");
    if (!is_empty(of[5]) || (of[6] && !is_empty(of[6])))
        return call_fault(r, "hooks or metadata are not empty");
    *out = (Parts){of[0], of[1], of[2], of[3]};
    return SSMC_OK;
}

/* Counts from 0 on. */
static bool
read_counts(const Reader *r, const RtPickleValue *of, int64_t *out)
{
    const RtPickleValue *v[RT_MAX_RANK];
    items(&r->pickle, of, of->count, v);
    for (int i = 0; i < of->count; i++) {
        if (!is_count(v[i]))
            return false;
        out[i] = v[i]->number;
    }
    return true;
}

/* Elements must follow one another as the shape has them; of a size of 1 the stride is any. */
static ssmc_status
read_shape(const Reader *r, const Parts *parts)
{
    RtTensor *t = r->tensor;
    int64_t stride[RT_MAX_RANK], step = 1;
    if (parts->shape->count > RT_MAX_RANK)
        return tensor_fault(r, "has %d dimensions; at most %d are possible", parts->shape->count,
                            RT_MAX_RANK);
    t->rank = parts->shape->count;
    if (!read_counts(r, parts->shape, t->dim) || !read_counts(r, parts->stride, stride))
        return call_fault(r, "shape and strides are not numbers from 0 on");
    if (!rt_tensor_bytes(rt_dtype_bits(t->dtype), t->dim, t->rank, &t->bytes))
        return tensor_fault(r, "is %s %s, which is no size a file can have", t->dtype,
                            rt_dims(t->dim, t->rank).text);
    for (int i = t->rank; i-- > 0 && t->bytes;) { /* no overflow: the product has been made */
        if (t->dim[i] != 1 && stride[i] != step)
            return tensor_fault(r,
                                "has the shape %s with the strides %s: its elements do not follow "
                                "one another; save it after .contiguous()",
                                rt_dims(t->dim, t->rank).text, rt_dims(stride, t->rank).text);
        step *= t->dim[i];
    }
    return SSMC_OK;
}

/* ("storage", torch.XStorage, key, device, numbers) */
static ssmc_status
read_storage(const Reader *r, const RtPickleValue *storage, const RtZipEntry **out)
{
    enum { PARTS = 5 };
    static const char word[] = "storage";
    const RtPickleValue *with = &r->pickle.value[storage->with], *of[PARTS];
    items(&r->pickle, with, PARTS, of);
    if (with->count != PARTS || of[0]->kind != PICKLE_text || of[0]->len != strlen(word) ||
        memcmp(of[0]->text, word, of[0]->len) != 0 || of[1]->kind != PICKLE_global ||
        of[1]->global->role != ROLE_storage || of[2]->kind != PICKLE_text ||
        of[3]->kind != PICKLE_text || !is_count(of[4]))
        return call_fault(r, "storage is not ('storage', type, key, device, size)");
    r->tensor->dtype = rt_dtype_name(of[1]->global->dtype);
    const RtZipEntry *e = record(r, "data/", of[2]->text, of[2]->len);
    char key[sizeof(RtText)] = "";
    memcpy(key, of[2]->text, of[2]->len < sizeof key - 1 ? of[2]->len : sizeof key - 1);
    if (!e)
        return tensor_fault(r, "is in the record data/%s, which the file does not have",
                            rt_quote(key).text);
    size_t bytes;
    if (!rt_tensor_bytes(rt_dtype_bits(r->tensor->dtype), &of[4]->number, 1, &bytes) ||
        bytes != e->bytes)
        return tensor_fault(r,
                            "is in a storage of %" PRId64 " numbers of %s, but the record data/%s "
                            "has %zu bytes",
                            of[4]->number, r->tensor->dtype, rt_quote(key).text, e->bytes);
    *out = e;
    return SSMC_OK;
}

/* r->value: of the dict, under the tensor's name. */
static ssmc_status
read_tensor(Reader *r)
{
    RtTensor *t = r->tensor;
    const RtZipEntry *e = NULL;
    Parts parts = {0};
    ssmc_status status = find_call(r);
    if (status == SSMC_OK)
        status = read_call(r, &parts);
    if (status == SSMC_OK)
        status = read_storage(r, parts.storage, &e);
    if (status == SSMC_OK)
        status = read_shape(r, &parts);
    if (status != SSMC_OK)
        return status;
    size_t before, end;
    if (!rt_mul((size_t)parts.offset->number, (size_t)rt_dtype_bits(t->dtype) / 8, &before) ||
        !rt_add(before, t->bytes, &end) || end > e->bytes)
        return tensor_fault(
            r, "takes %zu bytes from element %" PRId64 " on of a storage that has %zu bytes",
            t->bytes, parts.offset->number, e->bytes);
    t->data = r->bytes + e->begin + before;
    return SSMC_OK;
}

/* ---- the dict ------------------------------------------------------------------------------ */

/* Room for the names of the dict's keys, and for its tensors. */
static ssmc_status
make_room(const Reader *r, const RtPickleValue *dict)
{
    const RtPickle *p = &r->pickle;
    size_t names = 0;
    if (dict->count / 2 > MOST_TENSORS)
        return rt_fail(SSMC_BAD_FILE, "%s has %d tensors; at most %d are read", r->file->path,
                       dict->count / 2, MOST_TENSORS);
    for (int cell = dict->first; cell >= 0; cell = p->cell[p->cell[cell].next].next) {
        const RtPickleValue *key = &p->value[p->cell[cell].value];
        if (key->kind != PICKLE_text || memchr(key->text, '\0', key->len))
            return rt_fail(SSMC_BAD_FILE,
                           "%s: data.pkl: byte %" PRIu32 ": a key is %s; expected the name of a "
                           "tensor",
                           r->file->path, key->at,
                           key->kind == PICKLE_text ? "a text with a NUL" : rt_pickle_kind(key));
        names += key->len + 1;
    }
    return rt_tensors_room(r->file, (size_t)dict->count / 2, names);
}

static ssmc_status
read_dict(Reader *r)
{
    const RtPickle *p = &r->pickle;
    RtTensorFile *file = r->file;
    const RtPickleValue *dict = &p->value[p->top];
    if (dict->kind != PICKLE_dict)
        return rt_fail(SSMC_BAD_FILE,
                       "%s: data.pkl: byte %" PRIu32 ": it holds %s; expected a dict of tensors: "
                       "weights are saved by torch.save(model.state_dict(), FILE)",
                       file->path, dict->at, rt_pickle_kind(dict));
    ssmc_status status = make_room(r, dict);
    char *room = file->names;
    for (int cell = dict->first; status == SSMC_OK && cell >= 0;) {
        const RtPickleValue *key = &p->value[p->cell[cell].value];
        const int second = p->cell[cell].next;
        memcpy(room, key->text, key->len);
        room[key->len] = '\0';
        r->tensor = &file->tensors[file->count++];
        r->tensor->name = room;
        r->value = &p->value[p->cell[second].value];
        room += key->len + 1;
        cell = p->cell[second].next;
        status = read_tensor(r);
    }
    return status;
}

static ssmc_status
read_records(Reader *r)
{
    const RtZipEntry *e;
    ssmc_status status = find_pickle(r, &e);
    if (status == SSMC_OK)
        status = check_byte_order(r);
    if (status != SSMC_OK)
        return status;
    const size_t room = strlen(r->file->path) + sizeof ": data.pkl";
    char *where = malloc(room);
    if (!where)
        return rt_fail_memory(room, "a path");
    snprintf(where, room, "%s: data.pkl", r->file->path);
    status = rt_pickle_read(where, r->bytes + e->begin, e->bytes, &r->pickle);
    free(where);
    return status == SSMC_OK ? read_dict(r) : status;
}

ssmc_status
rt_torch_read(RtTensorFile *file, const char *bytes, size_t len)
{
    Reader r = {.file = file, .bytes = bytes};
    ssmc_status status = rt_zip_read(file->path, bytes, len, &r.zip);
    if (status == SSMC_OK)
        status = read_records(&r);
    rt_pickle_free(&r.pickle);
    rt_zip_free(&r.zip);
    return status;
}
