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
    ssmc_weights *weights;
    const FeModel *fe;
    Diag *diag;
    Naming naming;
    bool *used;             /* by tensor of the checkpoint: a weight is made of it */
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
    else if (!same && shape->rank > 1 && b->nreshaped++ == 0) /* a vector has one order */
        b->reshaped = weight;
}

static const char *
spellings_of(const Value *w)
{
    return w->tensor ? w->tensor : w->name;
}

/* The first spelling of a tensor's name, for messages. */
static const char *
first_name(Arena *arena, const Value *w)
{
    return arena_strndup(arena, spellings_of(w), strcspn(spellings_of(w), "|"));
}

static void
missing(Bind *b, int weight)
{
    const Value *w = b->g->weights[weight];
    const FeShape *shape = shape_of(b, weight);
    const int count = rt_weights_count(b->weights);
    const RtTensor *tensors = count ? rt_weights_at(b->weights, 0) : NULL;
    const char *name = first_name(b->g->arena, w), *one = name, *weight_of = "";
    const RtTensor **unused;
    if (strchr(name, '+')) {
        naming_members(&b->naming, b->g->arena, name, &unused, &one);
        weight_of = arena_printf(b->g->arena, ", of which with others `%s` is made,", w->name);
    }
    const char *near =
        diag_is_full(b->diag) ? NULL : nearest_name(one, tensors, (size_t)count, sizeof *tensors);
    StrBuf type = {0};
    int64_t want[IR_MAX_RANK] = {0};
    for (int i = 0; i < w->type.shape.rank; i++)
        want[i] = w->type.shape.dim[i].n;
    dims_print(&type, want, w->type.shape.rank);
    diag_error(b->diag, file_loc(b, NULL), "there is no tensor '%s'%s %s%s%s%s", one, weight_of,
               sb_text(&type), near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
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

/* A weight made of several tensors: each is some of its rows, or one of a stack, or rows of one. */
static void
bind_members(Bind *b, int weight, const RtTensor *const *list, int count)
{
    Value *w = b->g->weights[weight];
    const int rank = w->type.shape.rank, before = diag_errors(b->diag);
    int64_t want[IR_MAX_RANK] = {0}, rows = 0;
    StrBuf names = {0}, shape = {0};
    for (int i = 0; i < rank; i++)
        want[i] = w->type.shape.dim[i].n;
    dims_print(&shape, want, rank);
    for (int i = 0; i < count; i++) {
        const RtTensor *t = list[i];
        const int64_t more = rt_member_rows(t, want, rank);
        StrBuf has = {0};
        dims_print(&has, t->dim, t->rank);
        sb_printf(&names, "%s%s", i ? "+" : "", t->name);
        rows += more < 0 ? 0 : more;
        if (more < 0)
            diag_error(b->diag, file_loc(b, t),
                       "tensor '%s' has the shape %s; expected rows of %s, as it is one of %d of "
                       "which `%s` is made",
                       t->name, sb_text(&has), sb_text(&shape), count, w->name);
        if (i > 0 && strcmp(t->dtype, list[0]->dtype) != 0)
            diag_error(b->diag, file_loc(b, t),
                       "tensor '%s' has the type %s; expected %s, which '%s' has: `%s` is made of "
                       "both",
                       t->name, t->dtype, list[0]->dtype, list[0]->name, w->name);
        if (t->rounded && b->nrounded++ == 0)
            b->rounded = t;
        sb_free(&has);
    }
    if (diag_errors(b->diag) == before && rows != rt_rows_of(want, rank))
        diag_error(
            b->diag, file_loc(b, list[0]),
            "tensors '%s' to '%s' have %lld rows together; expected %lld: `%s` %s is made of "
            "them",
            list[0]->name, list[count - 1]->name, (long long)rows,
            (long long)rt_rows_of(want, rank), w->name, sb_text(&shape));
    if (!float_dtype(list[0]->dtype, &w->type.dtype))
        diag_error(b->diag, file_loc(b, list[0]),
                   "tensor '%s' has the type %s; weights are F64, F32, F16 or BF16", list[0]->name,
                   list[0]->dtype);
    w->tensor = arena_strdup(b->g->arena, sb_text(&names));
    if (diag_errors(b->diag) == before &&
        rt_weights_join(b->weights, w->tensor, want, rank) != SSMC_OK)
        diag_error(b->diag, file_loc(b, list[0]), "%s", ssmc_error());
    sb_free(&names);
    sb_free(&shape);
}

/* A weight in blocks has scales and minima beside it. */
static void
bind_blocks(Bind *b, Value *w, const RtTensor *t)
{
    const char *stored = rt_weights_stored(t);
    w->blocks = BLOCKS_none;
    if (w->type.shape.rank < 2)
        return;
    for (int i = 0; i < (t->members ? t->members : 1); i++)
        if ((t->members ? t->member[i] : t)->blocks)
            w->blocks = BLOCKS_other;
    if (!stored || !blocks_by_name(stored, strlen(stored), &w->blocks))
        return;
    if (rt_weights_parts(b->weights, w->tensor) != SSMC_OK)
        diag_error(b->diag, file_loc(b, t), "%s", ssmc_error());
}

/* Of the spellings the one that a rule makes; NULL: there is none. */
static const char *
made_name(Arena *arena, const char *spellings)
{
    for (const char *at = spellings; *at; at += *at == '|') {
        const size_t len = strcspn(at, "|");
        if (strncmp(at, RT_MADE, strlen(RT_MADE)) == 0)
            return arena_strndup(arena, at, len);
        at += len;
    }
    return NULL;
}

/* A weight that the checkpoint lacks, and a rule makes. False: none does. */
static bool
bind_made(Bind *b, int weight, const RtTensor **bound)
{
    const Value *w = b->g->weights[weight];
    const char *name = made_name(b->g->arena, spellings_of(w));
    int64_t dim[IR_MAX_RANK] = {0};
    for (int i = 0; i < w->type.shape.rank; i++)
        dim[i] = w->type.shape.dim[i].n;
    if (!name)
        return false;
    if (rt_weights_make(b->weights, name, dim, w->type.shape.rank) != SSMC_OK)
        return !diag_error(b->diag, w->loc, "%s", ssmc_error());
    *bound = rt_weights_find(b->weights, name);
    bind_one(b, weight, *bound);
    return true;
}

/* Marks the tensors of a weight as used, and binds it to them. False: they are not all there. */
static bool
bind_weight(Bind *b, int weight, const RtTensor **bound)
{
    const char *spellings = spellings_of(b->g->weights[weight]), *missing;
    const RtTensor *base = rt_weights_count(b->weights) ? rt_weights_at(b->weights, 0) : NULL;
    const RtTensor **list;
    if (strncmp(spellings, RT_MADE, strlen(RT_MADE)) == 0) /* bound before */
        return bind_made(b, weight, bound);
    int count = naming_members(&b->naming, b->g->arena, spellings, &list, &missing);
    if (count == 1 && list[0]->members) { /* bound before */
        count = list[0]->members;
        list = (const RtTensor **)list[0]->member;
    }
    for (int i = 0; count ? i < count : list[i] != NULL; i++)
        b->used[list[i] - base] = true; /* where others are missing, too: that is fault enough */
    if (count == 0)
        return bind_made(b, weight, bound);
    if (count == 1)
        bind_one(b, weight, list[0]);
    else
        bind_members(b, weight, list, count);
    *bound = count == 1 ? list[0] : rt_weights_find(b->weights, b->g->weights[weight]->tensor);
    if (*bound)
        bind_blocks(b, b->g->weights[weight], *bound);
    return true;
}

/* ---- tensors that no weight takes ---------------------------------------------------------- */

/* The first pattern of `ignored` that a name fits; -1: none. */
static int
ignored_by(const Bind *b, const char *name)
{
    for (int i = 0; i < b->fe->nignored; i++)
        if (fe_pattern_fits(b->fe->ignored[i], name))
            return i;
    return -1;
}

static bool
is_ignored(const Bind *b, const char *name)
{
    return ignored_by(b, name) >= 0;
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

/* FIRST.* for a name whose first part is none of those that weights have; else as pattern_of. */
static const char *
wide_pattern(const Bind *b, const Texts *firsts, const char *name)
{
    Arena *arena = b->g->arena;
    const char *first = arena_strndup(arena, name, strcspn(name, ".") + 1);
    const bool parted = strchr(first, '.') != NULL;
    return pattern_of(
        arena, parted && texts_find(firsts, first) < 0 ? arena_printf(arena, "%s*", first) : name);
}

/* One message for all of them, with what lets them be. */
static void
surplus_fault(const Bind *b, const RtTensor *const *extra, int count)
{
    enum { NAMED = 3, EXACT = 4, PATTERNS = 12 };
    Arena *arena = b->g->arena;
    Texts patterns = {.arena = arena}; /* the first of them, each once */
    StrBuf names = {0}, lets = {0};
    for (int i = 0; i < count && patterns.count <= EXACT; i++)
        texts_add(&patterns, count == 1 ? extra[i]->name : pattern_of(arena, extra[i]->name));
    if (patterns.count > EXACT) {
        Texts firsts = {.arena = arena};
        for (int i = 0; i < b->g->nweights; i++) {
            const char *name = first_name(arena, b->g->weights[i]);
            texts_add(&firsts, arena_strndup(arena, name, strcspn(name, ".") + 1));
        }
        patterns = (Texts){.arena = arena};
        for (int i = 0; i < count && patterns.count <= PATTERNS; i++)
            texts_add(&patterns, wide_pattern(b, &firsts, extra[i]->name));
    }
    for (int i = 0; i < count && i < NAMED; i++)
        sb_printf(&names, "%s'%s'", i ? ", " : "", extra[i]->name);
    if (count > NAMED)
        sb_printf(&names, " and %d more", count - NAMED);
    for (int i = 0; i < patterns.count && i < PATTERNS; i++)
        sb_printf(&lets, "%s%s", i ? ", " : "", texts_at(&patterns, i));
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
check_surplus(const Bind *b, const RtTensor *tied)
{
    const int count = rt_weights_count(b->weights);
    const RtTensor *base = count > 0 ? rt_weights_at(b->weights, 0) : NULL;
    const RtTensor **extra = arena_array(b->g->arena, (size_t)count + 1, sizeof *extra);
    int *ignored = arena_array(b->g->arena, (size_t)b->fe->nignored + 1, sizeof *ignored);
    int nextra = 0;
    if (tied)
        b->used[tied - base] = true;
    for (int k = 0; k < count; k++) {
        if (b->used[k])
            continue;
        const int pattern = ignored_by(b, base[k].name);
        if (pattern < 0)
            extra[nextra++] = base + k;
        else
            ignored[pattern]++;
    }
    for (int i = 0; i < b->fe->nignored; i++)
        if (ignored[i] && b->fe->ignored_notes[i])
            diag_note(b->diag, file_loc(b, NULL), "%d tensor%s left out, %s: %s", ignored[i],
                      ignored[i] == 1 ? "" : "s", b->fe->ignored[i], b->fe->ignored_notes[i]);
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
        (a->data == b->data || memcmp(a->data, b->data, a->bytes) == 0))
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
    const RtTensor **list;
    const char *missing, *names = b->fe->tied.tensor;
    const bool one = names && naming_members(&b->naming, b->g->arena, names, &list, &missing) == 1;
    return one && !is_ignored(b, list[0]->name) ? list[0] : NULL;
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
    RtTensor flat = *served, other = *tied;
    flat.data = rt_weights_whole(b->weights, served);
    other.data = rt_weights_whole(b->weights, tied);
    if (flat.data && other.data && same_content(&other, &flat))
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
    if (rt_weights_in_blocks(b->weights))
        diag_note(b->diag, (SrcLoc){0}, "%s store quantised blocks: %s",
                  rt_weights_in_blocks(b->weights),
                  format_info[b->fe->compile.format].bits
                      ? "projections multiply those of no more bits than dtype as they are, by "
                        "8-bit activations; --dtype f32 multiplies what they stand for"
                      : "they are read as f32");
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
bind_weights(Graph *g, ssmc_weights *weights, const FeModel *fe, Diag *diag)
{
    const int before = diag_errors(diag);
    int found = 0;
    const RtTensor **bound = arena_array(g->arena, (size_t)g->nweights + 1, sizeof *bound);
    bool *there = arena_array(g->arena, (size_t)g->nweights + 1, sizeof *there);
    Bind b = {.g = g, .weights = weights, .fe = fe, .diag = diag};
    b.used = arena_array(g->arena, (size_t)rt_weights_count(weights) + 1, sizeof *b.used);
    b.naming = naming_choose(g->arena, g, weights, &found);
    for (int i = 0; i < g->nweights && found > 0; i++)
        there[i] = bind_weight(&b, i, &bound[i]);
    const RtTensor *tied = tied_find(&b);
    const bool differs = tied_differs(&b, bound, tied);
    if (!differs) /* else they are of the next time */
        notes(&b);
    if (found == 0 && g->nweights > 0)
        none_found(&b);
    else if (fe->complete)
        check_surplus(&b, tied);
    for (int i = 0; i < g->nweights && found > 0; i++)
        if (!there[i])
            missing(&b, i);
    if (diag_errors(diag) != before)
        return BIND_FAULT;
    return differs ? BIND_UNTIED : BIND_DONE;
}

static const void *
weight_open(void *user, const Value *weight)
{
    const RtTensor *t = rt_weights_find(user, weight->tensor ? weight->tensor : weight->name);
    return t ? rt_weights_whole(user, t) : NULL;
}

WeightSource
weight_source(ssmc_weights *weights)
{
    return (WeightSource){.user = weights, .open = weight_open};
}
