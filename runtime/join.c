/* runtime/join.c -- a weight that a checkpoint holds as several tensors: rows that follow one
 * another, or a stack of equal ones. Its bytes are theirs, one after the other; nothing is copied
 * until a parameter is made of it. */
#include <stdlib.h>
#include <string.h>

#include "runtime/weights.h"

int64_t
rt_rows_of(const int64_t *dim, int rank)
{
    int64_t rows = 1;
    for (int i = 0; i < (rank > 1 ? rank - 1 : rank); i++)
        rows *= dim[i];
    return rows;
}

int64_t
rt_member_rows(const RtTensor *t, const int64_t *dim, int rank)
{
    size_t whole, one;
    if (rank < 1 || rank > RT_MAX_RANK)
        return -1;
    const int bits = rt_dtype_bits(t->dtype);
    if (!rt_tensor_bytes(bits, t->dim, t->rank, &whole))
        return -1;
    /* Some of its rows, or one of a stack; else some rows of one of a stack. */
    for (int from = 0; from < (rank > 2 ? 2 : 1); from++) {
        int64_t shape[RT_MAX_RANK] = {0};
        memcpy(shape, dim + from, sizeof *dim * (size_t)(rank - from));
        shape[0] = 1;
        if (!rt_tensor_bytes(bits, shape, rank - from, &one) || one == 0 || whole % one != 0)
            continue;
        shape[0] = (int64_t)(whole / one);
        if (rt_dims_fit(shape, rank - from, t->dim, t->rank))
            return rt_rows_of(shape, rank - from);
    }
    return -1;
}

/* The next of names that '+' separates; *at moves behind it. 0: there is none. */
static size_t
name_next(const char **at, const char **name)
{
    *name = *at + (**at == '+');
    const size_t len = strcspn(*name, "+");
    *at = *name + len;
    return len;
}

static ssmc_status
members_find(const ssmc_weights *w, const char *names, const int64_t *dim, int rank, RtTensor *t)
{
    const RtTensor **member = (const RtTensor **)t->member;
    const char *at = names, *name;
    const int64_t all = rt_rows_of(dim, rank);
    int64_t rows = 0;
    for (size_t len; (len = name_next(&at, &name)) > 0;) {
        const RtTensor *m = rt_weights_find_n(w, name, len);
        if (!m) {
            char *copy = strndup(name, len);
            rt_fail(SSMC_BAD_FILE, "the checkpoint lacks tensor '%s', of which a weight is made",
                    rt_quote(copy ? copy : "").text);
            free(copy);
            return SSMC_BAD_FILE;
        }
        const int64_t more = rt_member_rows(m, dim, rank);
        if (more < 0 || more > all - rows || (t->members && m->dtype != member[0]->dtype))
            return rt_fail(SSMC_BAD_FILE, "tensor '%s' is %s %s, which is no part of a weight %s",
                           rt_quote(m->name).text, m->dtype, rt_dims(m->dim, m->rank).text,
                           rt_dims(dim, rank).text);
        rows += more;
        member[t->members++] = m;
        t->bytes += m->bytes;
    }
    if (rows == all)
        return SSMC_OK;
    return rt_fail(SSMC_BAD_FILE, "tensors '%s' have %lld rows together, but the weight is %s",
                   rt_quote(names).text, (long long)rows, rt_dims(dim, rank).text);
}

ssmc_status
rt_weights_join(ssmc_weights *w, const char *names, const int64_t *dim, int rank)
{
    size_t most = 1;
    if (rank < 1 || rank > RT_MAX_RANK || rt_weights_find(w, names))
        return SSMC_OK;
    for (const char *at = names; *at; at++)
        most += *at == '+';
    RtJoined *j = calloc(1, sizeof *j);
    RtJoined **list = realloc(w->joined, ((size_t)w->njoined + 1) * sizeof *list);
    if (list)
        w->joined = list;
    if (!list || !j) {
        free(j);
        return rt_fail_memory(sizeof *j, "a weight of several tensors");
    }
    w->joined[w->njoined++] = j;
    j->name = strdup(names);
    j->member = calloc(most, sizeof *j->member);
    if (!j->name || !j->member)
        return rt_fail_memory(most * sizeof *j->member, "a weight of several tensors");
    RtTensor t = {.name = "", .rank = rank, .member = j->member};
    memcpy(t.dim, dim, sizeof *dim * (size_t)rank);
    const ssmc_status status = members_find(w, names, dim, rank, &t);
    if (status != SSMC_OK)
        return status;
    t.name = j->name;
    t.dtype = t.member[0]->dtype;
    j->tensor = t;
    return SSMC_OK;
}

/* Copies bytes [from, to) of the tensor to their places in `data`. */
static void
copy_bytes(const RtTensor *t, char *data, size_t from, size_t to, const ssmc_weights *done)
{
    size_t at = 0;
    for (int i = 0; i < t->members && at < to; i++) {
        const RtTensor *m = t->member[i];
        const size_t first = from > at ? from - at : 0;
        const size_t end = to - at < m->bytes ? to - at : m->bytes;
        if (first < end) {
            memcpy(data + at + first, (const char *)m->data + first, end - first);
            if (done)
                rt_weights_done(done, (const char *)m->data + first, end - first);
        }
        at += m->bytes;
    }
}

void
rt_joined_fill(const ssmc_weights *w, const RtTensor *t, char *data, int thread, int threads)
{
    const size_t share = (t->bytes / (size_t)threads / RT_LINE + 1) * RT_LINE;
    const size_t from = share * (size_t)thread, to = from + share;
    if (from < t->bytes)
        copy_bytes(t, data, from, to < t->bytes ? to : t->bytes, w);
}

const void *
rt_weights_whole(ssmc_weights *w, const RtTensor *t)
{
    if (!t->members)
        return t->data;
    for (int i = 0; i < w->njoined; i++) {
        RtJoined *j = w->joined[i];
        if (&j->tensor != t)
            continue;
        if (!j->whole && (j->whole = rt_pages_new(t->bytes)) != NULL)
            copy_bytes(t, j->whole, 0, t->bytes, NULL);
        return j->whole;
    }
    return NULL;
}

const RtTensor *
rt_joined_find(const ssmc_weights *w, const char *name, size_t len)
{
    for (int i = 0; i < w->njoined; i++) {
        const RtTensor *t = &w->joined[i]->tensor;
        if (t->name && strncmp(t->name, name, len) == 0 && t->name[len] == '\0')
            return t;
    }
    return NULL;
}

void
rt_joined_close(ssmc_weights *w)
{
    for (int i = 0; i < w->njoined; i++) {
        RtJoined *j = w->joined[i];
        rt_pages_free(j->whole, j->tensor.bytes);
        free(j->member);
        free(j->name);
        free(j);
    }
    free(w->joined);
}
