/* runtime/join.c -- a weight that a checkpoint holds as several tensors: rows that follow one
 * another, or a stack of equal ones. Its bytes are theirs, one after the other; nothing is copied
 * until a parameter is made of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/blocks.h"
#include "runtime/weights.h"

int64_t
rt_rows_of(const int64_t *dim, int rank)
{
    int64_t rows = 1;
    for (int i = 0; i < (rank > 1 ? rank - 1 : rank); i++)
        rows *= dim[i];
    return rows;
}

bool
rt_stack_fits(const int64_t *dim, int rank, const RtTensor *t)
{
    return rank > 1 && t->rank > rank &&
           memcmp(dim + 1, t->dim + t->rank - rank + 1, sizeof *dim * (size_t)(rank - 1)) == 0;
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
        if (rt_dims_fit(shape, rank - from, t->dim, t->rank) ||
            rt_stack_fits(shape, rank - from, t))
            return rt_rows_of(shape, rank - from);
    }
    return -1;
}

/* An empty entry at the end of the list; NULL: no memory. */
static RtJoined *
joined_new(ssmc_weights *w)
{
    RtJoined *j = calloc(1, sizeof *j);
    RtJoined **list = realloc(w->joined, ((size_t)w->njoined + 1) * sizeof *list);
    if (list)
        w->joined = list;
    if (!list || !j) {
        free(j);
        return NULL;
    }
    return w->joined[w->njoined++] = j;
}

void *
rt_joined_room(ssmc_weights *w, const RtTensor *t)
{
    RtJoined *j = joined_new(w);
    char *name = j ? strdup(t->name) : NULL;
    if (!name)
        return NULL;
    j->name = name;
    j->whole = rt_pages_new(t->bytes);
    if (!j->whole)
        return NULL;
    j->tensor = *t;
    j->tensor.name = name;
    j->tensor.data = j->whole;
    return j->whole;
}

bool
rt_joined_holds(const ssmc_weights *w, const char *at)
{
    for (int i = 0; i < w->njoined; i++) {
        const RtJoined *j = w->joined[i];
        const char *whole = j->whole;
        if (whole && at >= whole && at < whole + j->tensor.bytes)
            return true;
    }
    return false;
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
    RtJoined *j = joined_new(w);
    if (!j)
        return rt_fail_memory(sizeof *j, "a weight of several tensors");
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

/* ---- data ---------------------------------------------------------------------------------- */

/* A thread's share of one tensor of the file, as that part of it, into its place. */
static void
fill_member(const RtTensor *m, RtPart part, char *to, int thread, int threads,
            const ssmc_weights *done)
{
    const RtBlocks *b = m->blocks;
    const size_t unit = b ? 1 : RT_LINE, all = b ? b->rows : m->bytes;
    const size_t share = (all / (size_t)threads / unit + 1) * unit, from = share * (size_t)thread;
    const size_t end = from + share < all ? from + share : all;
    if (from >= end)
        return;
    const size_t row = b ? b->bytes / b->rows : 1;
    const char *data = b ? b->data : m->data;
    if (b)
        rt_blocks_fill(b, part, from, end, to);
    else
        memcpy(to + from, data + from, end - from);
    if (done)
        rt_weights_done(done, data + from * row, (end - from) * row);
}

static void
fill_all(const RtTensor *t, char *data, int thread, int threads, const ssmc_weights *done)
{
    const RtPart part = (RtPart)t->part;
    if (!t->members)
        fill_member(t, part, data, thread, threads, done);
    for (int i = 0; i < t->members; i++) {
        const RtTensor *m = t->member[i];
        fill_member(m, part, data, thread, threads, done);
        data += m->blocks ? rt_blocks_bytes(m->blocks, part) : m->bytes;
    }
}

void
rt_joined_fill(const ssmc_weights *w, const RtTensor *t, char *data, int thread, int threads)
{
    fill_all(t, data, thread, threads, w);
}

/* The entry whose tensor t is, or of a tensor with blocks the one for its data; NULL: no memory. */
static RtJoined *
joined_of(ssmc_weights *w, const RtTensor *t)
{
    for (int i = 0; i < w->njoined; i++)
        if (&w->joined[i]->tensor == t || w->joined[i]->of == t)
            return w->joined[i];
    RtJoined *j = joined_new(w);
    if (j) {
        j->of = t;
        j->tensor = (RtTensor){.bytes = t->bytes};
    }
    return j;
}

const void *
rt_weights_whole(ssmc_weights *w, const RtTensor *t)
{
    if (!t->members && !t->blocks)
        return t->data;
    RtJoined *j = joined_of(w, t);
    if (j && !j->whole && (j->whole = rt_pages_new(t->bytes)) != NULL)
        fill_all(t, j->whole, 0, 1, NULL);
    return j ? j->whole : NULL;
}

/* ---- parts --------------------------------------------------------------------------------- */

const char *
rt_weights_stored(const RtTensor *t)
{
    const RtTensor *const *list = t->members ? t->member : &t;
    const RtGgufType *type = NULL;
    for (int i = 0; i < (t->members ? t->members : 1); i++) {
        const RtBlocks *b = list[i]->blocks;
        if (!b || !rt_blocks_have_scales(b) || (type && type != b->type))
            return NULL;
        type = b->type;
    }
    return type->name;
}

static bool
has_part(const ssmc_weights *w, const RtTensor *of, RtPart part)
{
    const size_t len = strlen(of->name);
    for (int i = 0; i < w->njoined; i++) {
        const char *name = w->joined[i]->tensor.name;
        if (name && strncmp(name, of->name, len) == 0 &&
            strcmp(name + len, rt_part_suffix[part]) == 0)
            return true;
    }
    return false;
}

static ssmc_status
add_part(ssmc_weights *w, const RtTensor *of, RtPart part)
{
    const int count = of->members ? of->members : 1;
    RtJoined *j = joined_new(w);
    const size_t room = strlen(of->name) + strlen(rt_part_suffix[part]) + 1;
    if (j) {
        j->name = malloc(room);
        j->member = calloc((size_t)count, sizeof *j->member);
    }
    if (!j || !j->name || !j->member)
        return rt_fail_memory(room, "a weight's scales");
    snprintf(j->name, room, "%s%s", of->name, rt_part_suffix[part]);
    RtTensor t = *of;
    t.name = j->name;
    t.blocks = NULL;
    t.member = j->member;
    t.members = count;
    t.part = part;
    t.bytes = 0;
    for (int i = 0; i < count; i++) {
        j->member[i] = of->members ? of->member[i] : of;
        t.bytes += rt_blocks_bytes(j->member[i]->blocks, part);
    }
    t.dtype = rt_blocks_dtype(j->member[0]->blocks, part);
    t.dim[t.rank - 1] /= j->member[0]->blocks->type->group;
    j->tensor = t;
    return SSMC_OK;
}

ssmc_status
rt_weights_parts(ssmc_weights *w, const char *name)
{
    const RtTensor *of = rt_weights_find(w, name);
    if (!of || !rt_weights_stored(of))
        return SSMC_OK; /* who asks for them finds none */
    ssmc_status status = SSMC_OK;
    for (int part = RT_SCALES; part < RT_PARTS && status == SSMC_OK; part++)
        if (!has_part(w, of, (RtPart)part))
            status = add_part(w, of, (RtPart)part);
    return status;
}

/* ---- the list ------------------------------------------------------------------------------ */

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
