/* driver/convert_tensors.c -- tensors of a GGUF file as the checkpoint that it was made of has
 * them: experts apart, and together what convert.def names. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/convert.h"

typedef enum { HOW_rows, HOW_flat, HOW_heads } How;

typedef struct {
    const char *model, *first, *second, *to;
    How how;
} Row;

static const Row rows[] = {
#define CONVERT(model, first, second, to, how) {model, first, second, to, HOW_##how},
#include "driver/convert.def"
};

typedef struct {
    Arena *arena;
    json_object *config;
    ssmc_weights *weights;
    RtTensor *out;
    int count, cap;
    bool failed; /* no memory for what blocks stand for */
} Maker;

/* Rows of the tensors that become one are copied to `to`, in pieces. */
typedef struct {
    char *to;
    size_t row; /* bytes */
} Copy;

static void
put(Maker *m, RtTensor t)
{
    VEC_PUSH(m->arena, m->out, m->count, m->cap, t);
}

/* Where the name ends so; NULL: it does not. */
static const char *
end_of(const char *name, const char *end)
{
    const size_t len = strlen(name), tail = strlen(end);
    return len >= tail && strcmp(name + len - tail, end) == 0 ? name + len - tail : NULL;
}

/* A number of the config.json that was made of the file. */
static int64_t
config_int(const Maker *m, const char *key)
{
    return json_object_get_int64(json_object_object_get(m->config, key));
}

static bool
is_of(const Maker *m, const Row *row)
{
    const char *type = json_object_get_string(json_object_object_get(m->config, "model_type"));
    return type && strcmp(type, row->model) == 0;
}

static const RtTensor *
beside(const Maker *m, const RtTensor *t, const char *end, const char *other)
{
    const char *at = end_of(t->name, end);
    if (!at)
        return NULL;
    const char *name = arena_printf(m->arena, "%.*s%s", (int)(at - t->name), t->name, other);
    return rt_weights_find(m->weights, name);
}

static const char *
copy_rows(Copy *c, const char *from, int64_t count)
{
    const size_t bytes = (size_t)count * c->row;
    memcpy(c->to, from, bytes);
    c->to += bytes;
    return from + bytes;
}

/* Of each of `stack` matrices the rows of both. */
static void
join_rows(Copy *c, const RtTensor *a, const RtTensor *b, int64_t stack)
{
    const char *from_a = a->data, *from_b = b->data;
    for (int64_t e = 0; e < stack; e++) {
        from_a = copy_rows(c, from_a, a->dim[a->rank - 2]);
        from_b = copy_rows(c, from_b, b->dim[b->rank - 2]);
    }
}

/* Rows of a key head: its queries or keys, and its values. */
typedef struct {
    int64_t heads, key, value;
} Heads;

static Heads
heads_of(const Maker *m, const RtTensor *qkv, const RtTensor *z)
{
    const int64_t heads = config_int(m, "linear_num_key_heads");
    if (heads < 1 || z->dim[0] % heads || qkv->dim[0] <= z->dim[0] ||
        (qkv->dim[0] - z->dim[0]) / 2 % heads || (qkv->dim[0] - z->dim[0]) % 2)
        return (Heads){0};
    return (Heads){heads, (qkv->dim[0] - z->dim[0]) / 2 / heads, z->dim[0] / heads};
}

static void
join_heads(const Maker *m, Copy *c, const RtTensor *qkv, const RtTensor *z)
{
    const Heads h = heads_of(m, qkv, z);
    const char *q = qkv->data, *k = q + (size_t)(h.heads * h.key) * c->row;
    const char *v = k + (size_t)(h.heads * h.key) * c->row, *gate = z->data;
    for (int64_t g = 0; g < h.heads; g++) {
        q = copy_rows(c, q, h.key);
        k = copy_rows(c, k, h.key);
        v = copy_rows(c, v, h.value);
        gate = copy_rows(c, gate, h.value);
    }
}

/* A tensor of a file with its data in one place: what lies in blocks as what it stands for. */
static bool
whole(Maker *m, RtTensor *t, const RtTensor *of)
{
    *t = *of;
    t->data = rt_weights_whole(m->weights, of);
    t->blocks = NULL;
    m->failed = m->failed || !t->data;
    return t->data != NULL;
}

/* Both can be one: nothing but their rows differs. */
static bool
fit(const Maker *m, const Row *row, const RtTensor *a, const RtTensor *b)
{
    if (!a || !b || !is_of(m, row) || a->rank != b->rank || a->rank < 2 ||
        strcmp(a->dtype, b->dtype) != 0)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] < 1 || b->dim[i] < 1 || (i != a->rank - 2 && a->dim[i] != b->dim[i]))
            return false;
    return row->how != HOW_heads || (a->rank == 2 && heads_of(m, a, b).heads > 0);
}

static void
join(Maker *m, const Row *row, const RtTensor *of_a, const RtTensor *of_b)
{
    RtTensor first, second;
    const RtTensor *a = &first, *b = &second;
    if (!whole(m, &first, of_a) || !whole(m, &second, of_b))
        return;
    const char *at = end_of(a->name, row->first);
    int64_t stack = 1;
    for (int i = 0; i < a->rank - 2; i++)
        stack *= a->dim[i];
    RtTensor t = *a;
    t.name = arena_printf(m->arena, "%.*s%s", (int)(at - a->name), a->name, row->to);
    t.dim[a->rank - 2] += b->dim[a->rank - 2];
    t.bytes = a->bytes + b->bytes;
    char *data = arena_alloc(m->arena, t.bytes);
    Copy c = {data, a->bytes / (size_t)(stack * a->dim[a->rank - 2])};
    if (row->how == HOW_heads)
        join_heads(m, &c, a, b);
    else
        join_rows(&c, a, b, stack);
    if (row->how == HOW_flat) {
        t.dim[0] = stack * t.dim[t.rank - 2];
        t.dim[1] = t.dim[t.rank - 1];
        t.rank = 2;
    }
    t.data = data;
    put(m, t);
}

/* [E,O,K] as E tensors [O,K]. */
static void
put_experts(Maker *m, const RtTensor *of)
{
    static const char mark[] = ".experts.";
    RtTensor all;
    const RtTensor *t = &all;
    if (!whole(m, &all, of))
        return;
    const char *at = strstr(t->name, mark);
    const size_t bytes = t->bytes / (size_t)t->dim[0];
    for (int64_t e = 0; e < t->dim[0]; e++) {
        RtTensor one = *t;
        one.name = arena_printf(m->arena, "%.*s.experts.%lld.%s", (int)(at - t->name), t->name,
                                (long long)e, at + strlen(mark));
        one.rank = 2;
        one.dim[0] = t->dim[1];
        one.dim[1] = t->dim[2];
        one.data = (const char *)t->data + (size_t)e * bytes;
        one.bytes = bytes;
        put(m, one);
    }
}

/* What was said in config.json is no tensor. */
static bool
is_said(const char *name)
{
    return strcmp(name, "rope_freqs.weight") == 0;
}

static void
put_tensor(Maker *m, const RtTensor *t)
{
    const bool stack =
        t->rank == 3 && t->bytes > 0 && strstr(t->name, ".experts.") && end_of(t->name, ".weight");
    if (is_said(t->name))
        return;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const RtTensor *second = beside(m, t, rows[i].first, rows[i].second);
        if (fit(m, &rows[i], t, second)) {
            join(m, &rows[i], t, second);
            return;
        }
        if (fit(m, &rows[i], beside(m, t, rows[i].second, rows[i].first), t))
            return; /* it comes with the first */
    }
    if (stack)
        put_experts(m, t);
    else
        put(m, *t);
}

int
convert_tensors(Arena *arena, ssmc_weights *weights, const char *config, RtTensor **out)
{
    Maker m = {.arena = arena, .config = json_tokener_parse(config), .weights = weights};
    for (int i = 0; i < rt_weights_count(weights); i++)
        put_tensor(&m, rt_weights_at(weights, i));
    json_object_put(m.config);
    *out = m.out;
    return m.failed ? -1 : m.count;
}
