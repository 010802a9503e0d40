/* compiler/bind.c -- the graph's weights meet the checkpoint's tensors: names, shapes, types. */
#include <ctype.h>
#include <string.h>

#include "compiler/internal.h"

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
    Naming naming;
    const FeOrigins **said; /* origins that have been shown: equal layers share theirs */
    int nsaid, cap_said;
    const RtTensor *rounded; /* the first, and how many there are */
    int nrounded;
    int reshaped, nreshaped; /* a weight */
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
    if (!same && !rt_dims_fit(want, shape->rank, t->dim, t->rank))
        shape_fault(b, weight, t, want);
    else if (!same && b->nreshaped++ == 0)
        b->reshaped = weight;
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
    w->tensor =
        arena_strdup(b->g->arena, t->name); /* of several spellings, the one that is there */
    if (t->rounded && b->nrounded++ == 0)
        b->rounded = t;
    if (!float_dtype(t->dtype, &w->type.dtype))
        diag_error(b->diag, file_loc(b, t),
                   "tensor '%s' has the type %s; weights are F64, F32, F16 or BF16", t->name,
                   t->dtype);
    shape_check(b, weight, t);
}

/* ---- tensors that no weight takes ---------------------------------------------------------- */

static bool
is_ignored(const Bind *b, const char *name)
{
    for (int i = 0; i < b->fe->nignored; i++)
        if (fe_pattern_fits(b->fe->ignored[i], name))
            return true;
    return false;
}

/* A name as an item of a list in YAML, with <i> for each of its parts that is a number. */
static const char *
pattern_of(Arena *arena, const char *name)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-<>*";
    StrBuf sb = {0};
    for (const char *at = name; *at;) {
        const size_t len = strcspn(at, "."), digits = strspn(at, "0123456789");
        if (len && digits == len)
            sb_puts(&sb, "<i>");
        else
            sb_putn(&sb, at, len);
        sb_puts(&sb, at[len] ? "." : "");
        at += len + (at[len] == '.');
    }
    const char *text = sb_text(&sb);
    const bool safe = isalpha((unsigned char)text[0]) && !text[strspn(text, plain)];
    const char *pattern = arena_printf(arena, safe ? "%s" : "\"%s\"", text);
    sb_free(&sb);
    return pattern;
}

/* FIRST.* for a name whose first part no weight has; else as pattern_of. */
static const char *
wide_pattern(const Bind *b, const char *name)
{
    const size_t len = strcspn(name, ".") + 1;
    for (int i = 0; i < b->g->nweights; i++)
        if (strncmp(b->g->weights[i]->tensor, name, len) == 0)
            return pattern_of(b->g->arena, name);
    const char *first = arena_strndup(b->g->arena, name, len);
    return name[len - 1] ? pattern_of(b->g->arena, arena_printf(b->g->arena, "%s*", first))
                         : pattern_of(b->g->arena, name);
}

typedef struct {
    const char **items;
    int count, cap;
} NameList;

static void
list_put_once(Arena *arena, NameList *list, const char *name)
{
    for (int i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return;
    VEC_PUSH(arena, list->items, list->count, list->cap, name);
}

/* One message for all of them, with what lets them be. */
static void
surplus_fault(const Bind *b, const RtTensor *const *extra, int count)
{
    enum { NAMED = 3, EXACT = 4, PATTERNS = 12 };
    Arena *arena = b->g->arena;
    NameList patterns = {0};
    StrBuf names = {0}, lets = {0};
    for (int i = 0; i < count && patterns.count <= EXACT; i++)
        list_put_once(arena, &patterns,
                      count == 1 ? extra[i]->name : pattern_of(arena, extra[i]->name));
    if (patterns.count > EXACT) {
        patterns.count = 0;
        for (int i = 0; i < count && patterns.count <= PATTERNS; i++)
            list_put_once(arena, &patterns, wide_pattern(b, extra[i]->name));
    }
    for (int i = 0; i < count && i < NAMED; i++)
        sb_printf(&names, "%s'%s'", i ? ", " : "", extra[i]->name);
    if (count > NAMED)
        sb_printf(&names, " and %d more", count - NAMED);
    for (int i = 0; i < patterns.count && i < PATTERNS; i++)
        sb_printf(&lets, "%s%s", i ? ", " : "", patterns.items[i]);
    diag_error(b->diag, file_loc(b, extra[0]),
               "there %s tensor%s %s, which the model does not use; --set 'ignored=[%s%s]' lets %s "
               "be, as `ignored:` does in a YAML file",
               count == 1 ? "is a" : "are", count == 1 ? "" : "s", sb_text(&names), sb_text(&lets),
               patterns.count > PATTERNS ? ", ..." : "", count == 1 ? "it" : "them");
    sb_free(&names);
    sb_free(&lets);
}

/* Tensors of the checkpoint that no weight of the model was bound to. */
static void
check_surplus(const Bind *b, const RtTensor **bound, const RtTensor *tied)
{
    const int count = rt_weights_count(b->weights);
    const RtTensor *base = count > 0 ? rt_weights_at(b->weights, 0) : NULL;
    const RtTensor **extra = arena_array(b->g->arena, (size_t)count + 1, sizeof *extra);
    bool *used = arena_array(b->g->arena, (size_t)count + 1, sizeof *used);
    int nextra = 0;
    for (int i = 0; i < b->g->nweights; i++)
        if (bound[i])
            used[bound[i] - base] = true;
    if (tied)
        used[tied - base] = true;
    for (int k = 0; k < count; k++)
        if (!used[k] && !is_ignored(b, base[k].name))
            extra[nextra++] = base + k;
    if (nextra)
        surplus_fault(b, extra, nextra);
}

/* No weight is found under any name. */
static void
none_found(Bind *b)
{
    enum { NAMED = 3 };
    const Graph *g = b->g;
    const int count = rt_weights_count(b->weights);
    StrBuf wants = {0}, has = {0};
    for (int i = 0; i < g->nweights && i < NAMED; i++)
        sb_printf(&wants, "%s'%s'", i ? ", " : "", first_name(g->arena, g->weights[i]));
    for (int i = 0; i < count && i < NAMED; i++)
        sb_printf(&has, "%s'%s'", i ? ", " : "", rt_weights_at(b->weights, i)->name);
    diag_error(
        b->diag, file_loc(b, NULL),
        "none of its %d tensors has the name of a weight: it has %s%s, the model wants %s%s; "
        "`tensors:` in a YAML file says what the weights are called there (ssmc import "
        "writes one), `ignored:` which tensors are none",
        count, count ? sb_text(&has) : "nothing", count > NAMED ? " ..." : "", sb_text(&wants),
        g->nweights > NAMED ? " ..." : "");
    sb_free(&wants);
    sb_free(&has);
}

/* ---- a weight that another serves for ------------------------------------------------------- */

static double
element(const RtTensor *t, Dtype dtype, size_t i)
{
    const char *at = (const char *)t->data + i * (size_t)dtype_info[dtype].bytes;
    float wide;
    uint16_t half;
    if (dtype == DTYPE_f32) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    memcpy(&half, at, sizeof half);
    return dtype == DTYPE_f16 ? f16_to_f32(half) : bf16_to_f32(half);
}

/* Whether two tensors of as many elements hold the same numbers. */
static bool
same_content(const RtTensor *a, const RtTensor *b)
{
    Dtype da, db;
    if (a->bytes == b->bytes && strcmp(a->dtype, b->dtype) == 0 &&
        memcmp(a->data, b->data, a->bytes) == 0)
        return true;
    if (!float_dtype(a->dtype, &da) || !float_dtype(b->dtype, &db))
        return false;
    const size_t count = a->bytes / (size_t)dtype_info[da].bytes;
    for (size_t i = 0; i < count; i++) {
        const double x = element(a, da, i), y = element(b, db, i);
        if (x < y || x > y || (x != x) != (y != y))
            return false;
    }
    return true;
}

/* The checkpoint's own tensor for a weight that another serves for; NULL: it has none, or it is to
 * be ignored. */
static const RtTensor *
tied_find(const Bind *b)
{
    const RtTensor *t = b->fe->tied.tensor ? naming_find(&b->naming, b->fe->tied.tensor) : NULL;
    return t && !is_ignored(b, t->name) ? t : NULL;
}

/* True: it differs from what serves. */
static bool
tied_differs(const Bind *b, const RtTensor **bound, const RtTensor *tied)
{
    const RtTensor *served = NULL;
    for (int i = 0; tied && i < b->g->nweights; i++)
        if (strcmp(b->g->weights[i]->name, b->fe->tied.served) == 0)
            served = bound[i];
    if (!served)
        return false;
    if (!rt_dims_fit(tied->dim, tied->rank, served->dim, served->rank)) {
        StrBuf shapes[2] = {{0}, {0}};
        dims_print(&shapes[0], tied->dim, tied->rank);
        dims_print(&shapes[1], served->dim, served->rank);
        diag_error(b->diag, file_loc(b, tied),
                   "tensor '%s' has the shape %s; expected %s, which is that of '%s', because "
                   "tie_embeddings says that the two are one; --set 'ignored=[%s]' leaves it out",
                   tied->name, sb_text(&shapes[0]), sb_text(&shapes[1]), served->name, tied->name);
        diag_also(b->diag, b->fe->tied.loc, "it says so here");
        sb_free(&shapes[0]);
        sb_free(&shapes[1]);
        return false;
    }
    if (same_content(tied, served))
        return false;
    diag_note(b->diag, file_loc(b, tied),
              "tensor '%s' differs from '%s', so it is used, though tie_embeddings says that the "
              "two are one; --set 'ignored=[%s]' leaves it out",
              tied->name, served->name, tied->name);
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void
note_naming(const Bind *b)
{
    const Naming *n = &b->naming;
    if (!n->add)
        return;
    if (!n->drop[0])
        diag_note(b->diag, file_loc(b, NULL),
                  "its names carry the prefix '%s', which was taken off", n->add);
    else if (!n->add[0])
        diag_note(b->diag, file_loc(b, NULL), "its names lack the prefix '%s', which was put on",
                  n->drop);
    else
        diag_note(b->diag, file_loc(b, NULL),
                  "its names have '%s' where '%s' is known: taken as that", n->add, n->drop);
}

static const char *
and_more(Arena *arena, int count)
{
    return count > 1 ? arena_printf(arena, " and %d more", count - 1) : "";
}

/* What was taken although it is not as the description says. */
static void
notes(const Bind *b)
{
    Arena *arena = b->g->arena;
    if (rt_weights_note(b->weights))
        diag_note(b->diag, (SrcLoc){0}, "%s", rt_weights_note(b->weights));
    note_naming(b);
    if (b->rounded)
        diag_note(b->diag, file_loc(b, b->rounded), "tensor '%s'%s of F64 rounded to F32",
                  b->rounded->name, and_more(arena, b->nrounded));
    if (b->nreshaped) {
        const Value *w = b->g->weights[b->reshaped];
        const RtTensor *t = rt_weights_find(b->weights, w->tensor);
        int64_t want[IR_MAX_RANK] = {0};
        StrBuf dims = {0};
        for (int i = 0; i < w->type.shape.rank; i++)
            want[i] = w->type.shape.dim[i].n;
        dims_print(&dims, t->dim, t->rank);
        sb_puts(&dims, " for ");
        dims_print(&dims, want, w->type.shape.rank);
        diag_note(b->diag, file_loc(b, t),
                  "tensor '%s'%s taken with the shape %s: the numbers are in the same order",
                  t->name, and_more(arena, b->nreshaped), sb_text(&dims));
        sb_free(&dims);
    }
}

/* Wrong tensors are reported first, then those too many, then those missing: a list of missing ones
 * can be long, and the others often explain it. */
BindResult
bind_weights(Graph *g, const ssmc_weights *weights, const FeModel *fe, Diag *diag)
{
    const int before = diag_errors(diag);
    int found = 0;
    const RtTensor **bound = arena_array(g->arena, (size_t)g->nweights + 1, sizeof *bound);
    Bind b = {.g = g, .weights = weights, .fe = fe, .diag = diag};
    b.naming = naming_choose(g->arena, g, weights, &found);
    for (int i = 0; i < g->nweights && found > 0; i++) {
        const Value *w = g->weights[i];
        bound[i] = naming_find(&b.naming, w->tensor ? w->tensor : w->name);
        if (bound[i])
            bind_one(&b, i, bound[i]);
    }
    const RtTensor *tied = tied_find(&b);
    const bool differs = tied_differs(&b, bound, tied);
    if (!differs) /* else they are of the next time */
        notes(&b);
    if (found == 0 && g->nweights > 0)
        none_found(&b);
    else if (fe->complete)
        check_surplus(&b, bound, tied);
    for (int i = 0; i < g->nweights && found > 0; i++)
        if (!bound[i])
            missing(&b, i);
    if (diag_errors(diag) != before)
        return BIND_FAULT;
    return differs ? BIND_UNTIED : BIND_DONE;
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
