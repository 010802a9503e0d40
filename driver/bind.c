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

static void
shape_check(const Value *w, const RtTensor *t, Diag *diag)
{
    bool same = w->type.shape.rank == t->rank;
    int64_t want[IR_MAX_RANK] = {0};
    for (int i = 0; i < w->type.shape.rank; i++) {
        want[i] = w->type.shape.dim[i].n;
        same = same && want[i] == t->dim[i];
    }
    if (same)
        return;
    StrBuf text = {0};
    dims_print(&text, t->dim, t->rank);
    sb_puts(&text, ", but the model says ");
    dims_print(&text, want, w->type.shape.rank);
    diag_error(diag, w->loc, "tensor '%s' has the shape %s", t->name, sb_text(&text));
    sb_free(&text);
}

/* The first spelling of a tensor's name, for messages. */
static const char *
first_name(Arena *arena, const Value *w)
{
    const char *names = w->tensor ? w->tensor : w->name;
    return arena_strndup(arena, names, strcspn(names, "|"));
}

static void
missing(const Graph *g, const Value *w, const ssmc_weights *weights, Diag *diag)
{
    const int count = rt_weights_count(weights);
    const char **list = arena_array(g->arena, (size_t)count + 1, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = rt_weights_at(weights, i)->name;
    const char *name = first_name(g->arena, w);
    const char *near = nearest_name(name, list, (size_t)count, sizeof *list);
    diag_error(diag, w->loc, "the checkpoint %s lacks tensor '%s'%s%s%s", g->weights_path, name,
               near ? "; the nearest there is '" : "", near ? near : "", near ? "'" : "");
}

static void
bind_one(Graph *g, Value *w, const RtTensor *t, Diag *diag)
{
    if (w->tensor && strchr(w->tensor, '|')) /* of several spellings, the one that is there */
        w->tensor = arena_strdup(g->arena, t->name);
    if (!float_dtype(t->dtype, &w->type.dtype))
        diag_error(diag, w->loc, "tensor '%s' has the type %s; weights are F32, F16 or BF16",
                   t->name, t->dtype);
    shape_check(w, t, diag);
}

/* Tensors of the checkpoint that no weight of the model was bound to. */
static void
check_surplus(const Graph *g, const ssmc_weights *weights, const FeModel *fe,
              const RtTensor **bound, Diag *diag)
{
    const int count = rt_weights_count(weights);
    const RtTensor *base = count > 0 ? rt_weights_at(weights, 0) : NULL;
    bool *used = arena_array(g->arena, (size_t)count + 1, sizeof *used);
    for (int i = 0; i < g->nweights; i++)
        if (bound[i])
            used[bound[i] - base] = true;
    for (int i = 0; i < fe->nignored; i++) {
        const RtTensor *t = rt_weights_find(weights, fe->ignored[i]);
        if (t)
            used[t - base] = true;
    }
    for (int k = 0; k < count; k++)
        if (!used[k])
            diag_error(diag, (SrcLoc){0},
                       "the checkpoint %s has tensor '%s', which the model does not use",
                       g->weights_path, rt_weights_at(weights, k)->name);
}

/* Wrong tensors are reported first, then those too many, then those missing: a list of missing ones
 * can be long, and the others often explain it. */
bool
bind_weights(Graph *g, const ssmc_weights *weights, const FeModel *fe, Diag *diag)
{
    const int before = diag_errors(diag);
    const RtTensor **bound = arena_array(g->arena, (size_t)g->nweights + 1, sizeof *bound);
    for (int i = 0; i < g->nweights; i++) {
        Value *w = g->weights[i];
        bound[i] = tensor_find(g->arena, weights, w->tensor ? w->tensor : w->name);
        if (bound[i])
            bind_one(g, w, bound[i], diag);
    }
    if (fe->complete)
        check_surplus(g, weights, fe, bound, diag);
    for (int i = 0; i < g->nweights; i++)
        if (!bound[i])
            missing(g, g->weights[i], weights, diag);
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
