/* driver/bind.c -- the graph's weights meet the checkpoint's tensors: names, shapes, types. */
#include <string.h>

#include "driver/driver.h"

/* Value.tensor lists spellings separated by '|'; the first that the checkpoint has. */
static const RtTensor *
tensor_find(Arena *arena, const ssmc_weights *weights, const char *names)
{
    for (const char *at = names; *at;) {
        const size_t len = strcspn(at, "|");
        const RtTensor *t = rt_weights_find(weights, arena_strndup(arena, at, len));
        if (t)
            return t;
        at += len + (at[len] == '|');
    }
    return NULL;
}

static void
dims_print(StrBuf *out, const int64_t *dim, int rank)
{
    sb_puts(out, "[");
    for (int i = 0; i < rank; i++)
        sb_printf(out, "%s%lld", i ? "," : "", (long long)dim[i]);
    sb_puts(out, "]");
}

static bool
float_dtype(const char *name, Dtype *out)
{
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (!dtype_info[i].is_float || strcmp(dtype_info[i].safetensors, name) != 0)
            continue;
        *out = (Dtype)i;
        return true;
    }
    return false;
}

/* What is being bound. */
typedef struct {
    Graph *g;
    const ssmc_weights *weights;
    const FeModel *fe;
    Diag *diag;
    const FeOrigins **said; /* origins that have been shown: equal layers share theirs */
    int nsaid, cap_said;
} Bind;

/* A place without a line: the file of a tensor; of none in particular (NULL) the only file, or
 * where all of them are. */
static SrcLoc
file_loc(const Bind *b, const RtTensor *t)
{
    const ssmc_weights *w = b->weights;
    const char *only = rt_weights_file(w, 1) ? NULL : rt_weights_file(w, 0);
    const char *path = t ? rt_weights_file_of(w, t) : only;
    Source *source = arena_alloc(b->g->arena, sizeof *source);
    *source = (Source){.path = path ? path : b->g->weights_path};
    return (SrcLoc){.source = source};
}

/* The keys that a fault goes back to, below the first that does. */
static void
show_origins(Bind *b, const FeOrigins *from, const char *what)
{
    for (int i = 0; i < b->nsaid; i++)
        if (b->said[i] == from)
            return;
    VEC_PUSH(b->g->arena, b->said, b->nsaid, b->cap_said, from);
    for (int i = 0; i < from->count; i++)
        diag_also(b->diag, from->items[i].loc, "%s comes from %s", what, from->items[i].name);
}

static const FeShape *
shape_of(const Bind *b, int weight)
{
    return b->fe->shapes ? b->fe->shapes[weight] : NULL;
}

static void
shape_fault(Bind *b, int weight, const RtTensor *t, const int64_t *want)
{
    const Value *w = b->g->weights[weight];
    const FeShape *shape = shape_of(b, weight);
    const int rank = w->type.shape.rank;
    StrBuf text = {0};
    dims_print(&text, t->dim, t->rank);
    sb_puts(&text, "; expected ");
    dims_print(&text, want, rank);
    if (shape)
        sb_printf(&text, ", which is %s of block %s", shape->text, shape->block);
    diag_error(b->diag, file_loc(b, t), "tensor '%s' has the shape %s", t->name, sb_text(&text));
    if (!shape)
        diag_also(b->diag, w->loc, "its shape is given here");
    for (int i = 0; shape && i < rank; i++)
        if (rank != t->rank || want[i] != t->dim[i])
            show_origins(b, &shape->dim[i],
                         arena_printf(b->g->arena, "the size %lld", (long long)want[i]));
    sb_free(&text);
}

static void
shape_check(Bind *b, int weight, const RtTensor *t)
{
    const Shape *shape = &b->g->weights[weight]->type.shape;
    bool same = shape->rank == t->rank;
    int64_t want[IR_MAX_RANK] = {0};
    for (int i = 0; i < shape->rank; i++) {
        want[i] = shape->dim[i].n;
        same = same && want[i] == t->dim[i];
    }
    if (!same)
        shape_fault(b, weight, t, want);
}

/* The first spelling of a tensor's name, for messages. */
static const char *
first_name(Arena *arena, const Value *w)
{
    const char *names = w->tensor ? w->tensor : w->name;
    return arena_strndup(arena, names, strcspn(names, "|"));
}

static void
missing(Bind *b, int weight)
{
    const Value *w = b->g->weights[weight];
    const FeShape *shape = shape_of(b, weight);
    const int count = rt_weights_count(b->weights);
    const char **list = arena_array(b->g->arena, (size_t)count + 1, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = rt_weights_at(b->weights, i)->name;
    const char *name = first_name(b->g->arena, w);
    const char *near = nearest_name(name, list, (size_t)count, sizeof *list);
    StrBuf type = {0};
    int64_t want[IR_MAX_RANK] = {0};
    for (int i = 0; i < w->type.shape.rank; i++)
        want[i] = w->type.shape.dim[i].n;
    dims_print(&type, want, w->type.shape.rank);
    diag_error(b->diag, file_loc(b, NULL), "there is no tensor '%s' %s%s%s%s", name, sb_text(&type),
               near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
    if (shape)
        show_origins(b, &shape->when, "that it must be there");
    sb_free(&type);
}

static void
bind_one(Bind *b, int weight, const RtTensor *t)
{
    Value *w = b->g->weights[weight];
    if (w->tensor && strchr(w->tensor, '|')) /* of several spellings, the one that is there */
        w->tensor = arena_strdup(b->g->arena, t->name);
    if (!float_dtype(t->dtype, &w->type.dtype))
        diag_error(b->diag, file_loc(b, t),
                   "tensor '%s' has the type %s; weights are F32, F16 or BF16", t->name, t->dtype);
    shape_check(b, weight, t);
}

/* Tensors of the checkpoint that no weight of the model was bound to. */
static void
check_surplus(const Bind *b, const RtTensor **bound)
{
    const int count = rt_weights_count(b->weights);
    const RtTensor *base = count > 0 ? rt_weights_at(b->weights, 0) : NULL;
    bool *used = arena_array(b->g->arena, (size_t)count + 1, sizeof *used);
    for (int i = 0; i < b->g->nweights; i++)
        if (bound[i])
            used[bound[i] - base] = true;
    for (int i = 0; i < b->fe->nignored; i++) {
        const RtTensor *t = rt_weights_find(b->weights, b->fe->ignored[i]);
        if (t)
            used[t - base] = true;
    }
    for (int k = 0; k < count; k++)
        if (!used[k])
            diag_error(b->diag, file_loc(b, base + k),
                       "there is a tensor '%s', which the model does not use", base[k].name);
}

/* Wrong tensors are reported first, then those too many, then those missing: a list of missing ones
 * can be long, and the others often explain it. */
bool
bind_weights(Graph *g, const ssmc_weights *weights, const FeModel *fe, Diag *diag)
{
    const int before = diag_errors(diag);
    const RtTensor **bound = arena_array(g->arena, (size_t)g->nweights + 1, sizeof *bound);
    Bind b = {.g = g, .weights = weights, .fe = fe, .diag = diag};
    for (int i = 0; i < g->nweights; i++) {
        const Value *w = g->weights[i];
        bound[i] = tensor_find(g->arena, weights, w->tensor ? w->tensor : w->name);
        if (bound[i])
            bind_one(&b, i, bound[i]);
    }
    if (fe->complete)
        check_surplus(&b, bound);
    for (int i = 0; i < g->nweights; i++)
        if (!bound[i])
            missing(&b, i);
    return diag_errors(diag) == before;
}

static const void *
weight_open(void *user, const Value *weight)
{
    const RtTensor *t = rt_weights_find(user, weight->tensor ? weight->tensor : weight->name);
    return t ? t->data : NULL;
}

WeightSource
weight_source(ssmc_weights *weights)
{
    return (WeightSource){.user = weights, .open = weight_open};
}
