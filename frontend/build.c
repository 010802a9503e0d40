/* frontend/build.c -- prepared blocks to nodes. Knows no block by name: the frame and every layer
 * are statements of the text form, read by the parser of the text form. */
#include "frontend/build.h"

#include <ctype.h>
#include <string.h>

/* Of the whole model: bounds what hostile files can ask for. */
enum { MAX_STATEMENTS = 65536, MAX_NODES = 262144 };

typedef struct {
    Arena *arena;
    Diag *diag;
    Graph *graph;
    const ModelParts *parts;
    Plan plan;       /* of all layers */
    Value *embedded; /* what the layers were called with */
    Value *poison;   /* stands for a result of a statement that failed: the parser keeps quiet about
                        it */
    const FeShape **shapes; /* of the graph's weights */
    int nshapes, cap_shapes;
    int64_t layers, statements; /* so far */
    int64_t shared;             /* blocks so far that share their weights */
    bool full;                  /* of them, or of nodes: reported */
} Build;

typedef struct {
    const char *name; /* first: nearest_name reads it */
    Value *value;
} Local;

/* One block being put into the graph. */
typedef struct {
    Build *b;
    const Prepared *prepared;
    const char *prefix; /* of its weights and states: "layers.3." */
    const char *shared; /* of weights that layers share: "shared.a."; NULL: it shares none */
    const char *own;    /* then of those that they do not: "layers.3.shared.a.0." */
    Value *weights[BLOCK_MAX_WEIGHTS];
    Local *locals;
    int nlocals, cap_locals;
    int states[OP_COUNT]; /* that the ops have had so far */
    bool is_frame, reads_in;
} Instance;

/* ---- names ---------------------------------------------------------------------------------- */

static Local *
local_find(const Instance *in, const char *name)
{
    for (int i = in->nlocals; i-- > 0;)
        if (strcmp(in->locals[i].name, name) == 0)
            return &in->locals[i];
    return NULL;
}

static void
local_set(Instance *in, const char *name, Value *value)
{
    Local *known = local_find(in, name);
    if (known) {
        known->value = value;
        return;
    }
    const Local l = {arena_strdup(in->b->arena, name), value};
    VEC_PUSH(in->b->arena, in->locals, in->nlocals, in->cap_locals, l);
}

static int
weight_find(const Block *block, const char *name)
{
    for (int i = 0; i < block->nweights; i++)
        if (strcmp(block->weights[i].name, name) == 0)
            return i;
    return -1;
}

/* An input of the graph, made when it is first read. */
static Value *
input_named(Build *b, const char *name, SrcLoc loc)
{
    for (int i = 0; i < INPUT_COUNT; i++) {
        if (strcmp(input_info[i].name, name) != 0)
            continue;
        Value *known = graph_find_input(b->graph, (InputId)i);
        return known ? known : graph_input(b->graph, name, input_info[i].type, loc);
    }
    return NULL;
}

/* A parameter of the block that is a number. */
static Value *
number_named(const Instance *in, const char *name)
{
    const Binding *b = scope_find(&in->prepared->scope, name, strlen(name));
    const SpecKind kind = b ? b->value.kind : SPEC_ANY;
    return b && !b->broken && (kind == SPEC_NUM || kind == SPEC_INT)
               ? graph_number(in->b->graph, b->value.num)
               : NULL;
}

static Value *
scope_lookup(ParseScope *scope, const char *name, SrcLoc loc, bool *absent)
{
    Instance *in = scope->user;
    const Block *block = in->prepared->block;
    const Local *local = local_find(in, name);
    in->reads_in |= strcmp(name, "in") == 0;
    if (local)
        return local->value;
    int i = weight_find(block, name);
    if (i >= 0 && !in->prepared->present[i] && block->weights[i].otherwise)
        i = weight_find(block, block->weights[i].otherwise);
    *absent = i >= 0 && !in->prepared->present[i];
    if (i >= 0)
        return in->weights[i];
    Value *number = number_named(in, name);
    return number ? number : input_named(in->b, name, loc);
}

static const char *
scope_suggest(ParseScope *scope, const char *name)
{
    const Instance *in = scope->user;
    const Block *block = in->prepared->block;
    int count = 0;
    const char **names =
        arena_array(in->b->arena, (size_t)(in->nlocals + block->nweights) + 1, sizeof *names);
    for (int i = 0; i < in->nlocals; i++)
        names[count++] = in->locals[i].name;
    for (int i = 0; i < block->nweights; i++)
        names[count++] = block->weights[i].name;
    return nearest_name(name, names, (size_t)count, sizeof *names);
}

static void
scope_define(ParseScope *scope, const char *name, Value *value, SrcLoc loc)
{
    (void)loc;
    local_set(scope->user, name, value);
}

/* ---- parameters in attributes --------------------------------------------------------------- */

static bool
scope_number(ParseScope *scope, const char *text, size_t len, SrcLoc loc, double *out)
{
    const Instance *in = scope->user;
    Expr e = {.arena = in->b->arena, .scope = &in->prepared->scope};
    if (!expr_eval(&e, text, len)) {
        expr_fault(&e, loc, in->prepared->user, in->b->diag);
        return false;
    }
    *out = e.value.num;
    return true;
}

static bool
fill_ints(Arena *arena, const FeValue *v, Attr *attr)
{
    int64_t *ints = arena_array(arena, (size_t)v->count + 1, sizeof *ints);
    for (int i = 0; i < v->count; i++) {
        const Tree *t = v->tree->items[i];
        if (!tree_whole(t, &ints[i]))
            return false;
    }
    attr->ints = ints;
    attr->count = v->count;
    return true;
}

static bool
scope_param(ParseScope *scope, const char *name, Attr *attr)
{
    const Instance *in = scope->user;
    const Binding *b = scope_find(&in->prepared->scope, name, strlen(name));
    const FeValue *v = b ? &b->value : NULL;
    if (!v || b->broken)
        return false;
    switch (attr_info[attr->id].kind) {
    case AK_INT:
        attr->i = v->kind == SPEC_BOOL ? v->flag : v->i;
        return v->kind == SPEC_INT || v->kind == SPEC_BOOL;
    case AK_CHUNK:
        attr->i = v->i;
        return v->kind == SPEC_CHUNK || v->kind == SPEC_INT;
    case AK_NUM:
        attr->num = v->num;
        return v->kind == SPEC_NUM || v->kind == SPEC_INT;
    case AK_WORD:
        attr->word = v->text;
        return v->kind == SPEC_WORD || v->kind == SPEC_TEXT;
    case AK_NUMS:
        attr->nums = v->nums;
        attr->count = v->count;
        return v->kind == SPEC_NUMS;
    case AK_INTS:
        return v->kind == SPEC_NUMS && fill_ints(in->b->arena, v, attr);
    }
    return false;
}

/* ---- states and calls ----------------------------------------------------------------------- */

/* What the block calls the state of op number `at` of its kind; NULL: it does not say. */
static const char *
state_name(const Block *block, Op op, int at)
{
    const Tree *named = tree_get(block->states, op_info[op].name);
    const bool list = tree_is(named, TREE_LIST);
    const int count = list ? named->count : 1;
    if (at >= count)
        return NULL;
    return list ? named->items[at]->text : named ? named->text : op_info[op].name;
}

static Value *
scope_state(ParseScope *scope, Op op, const Type *type, SrcLoc loc)
{
    Instance *in = scope->user;
    const char *op_name = op_info[op].name;
    const char *name = state_name(in->prepared->block, op, in->states[op]++);
    if (name)
        return graph_state(in->b->graph, arena_printf(in->b->arena, "%s%s", in->prefix, name),
                           *type, loc);
    const Tree *named = tree_get(in->prepared->block->states, op_name);
    diag_error(in->b->diag, loc,
               "this is `%s` number %d of the block: `states: {%s: [NAME, NAME]}` names the state "
               "of each",
               op_name, in->states[op], op_name);
    if (named)
        diag_also(in->b->diag, named->loc, "names are given here");
    return NULL;
}

static Value *layers_build(Build *b, const Plan *list, int count, Value *h);

/* The frame calls layers(h). */
static Value *
scope_call(ParseScope *scope, const char *name, int nin, Value **args, SrcLoc loc)
{
    const Instance *in = scope->user;
    Build *b = in->b;
    if (!in->is_frame || strcmp(name, "layers") != 0)
        return NULL;
    if (nin != 1 || !args[0]) {
        diag_error(b->diag, loc, "layers takes one operand, the residual stream");
        return NULL;
    }
    b->embedded = args[0];
    return layers_build(b, b->plan.inner, b->plan.ninner, args[0]);
}

/* ---- a block in the graph ------------------------------------------------------------------- */

/* Two blocks of a layer may not have weights or states of the same names. */
static bool
name_is_free(const Instance *in, const char *name)
{
    if (!graph_find(in->b->graph, name))
        return true;
    diag_error(in->b->diag, in->prepared->user,
               "there is a %s of an earlier block of this layer; a block among others takes a "
               "name of its own, as in {block: %s, name: second}",
               name, in->prepared->block->name);
    return false;
}

/* A weight that an earlier block of the same share has made; NULL: there is none. Another type is
 * a fault. */
static Value *
shared_weight(const Instance *in, const char *name, int i)
{
    Value *v = graph_find(in->b->graph, name);
    const Type *wanted = &in->prepared->type[i];
    if (!v || type_equal(&v->type, wanted))
        return v;
    diag_error(in->b->diag, in->prepared->user,
               "this block shares %s, which is %s; its parameters make it %s", name,
               type_name(in->b->arena, &v->type), type_name(in->b->arena, wanted));
    return v;
}

static Value *
new_weight(const Instance *in, const char *name, int i)
{
    Build *b = in->b;
    const Prepared *p = in->prepared;
    VEC_PUSH(b->arena, b->shapes, b->nshapes, b->cap_shapes, &p->shape[i]);
    return graph_weight(
        b->graph, name, p->type[i],
        tensor_names_of(b->parts->tensors, name, p->type[i].shape.dim[0].n, b->plan.layers),
        p->block->weights[i].init, p->loc[i]);
}

static bool
add_weights(Instance *in)
{
    const Block *block = in->prepared->block;
    bool ok = true;
    for (int i = 0; i < block->nweights; i++) {
        if (!in->prepared->present[i])
            continue;
        const bool shared = in->shared && !block->weights[i].own;
        const char *prefix = shared ? in->shared : in->own ? in->own : in->prefix;
        const char *name = arena_printf(in->b->arena, "%s%s", prefix, block->weights[i].name);
        if (!shared && ok && !in->is_frame)
            ok = name_is_free(in, name);
        in->weights[i] = shared ? shared_weight(in, name, i) : NULL;
        if (!in->weights[i])
            in->weights[i] = new_weight(in, name, i);
    }
    return ok;
}

/* The names a failed statement would have made: later statements may use them without more being
 * said. */
static void
poison_targets(Instance *in, const char *text)
{
    const size_t end = strcspn(text, "=");
    for (size_t at = 0; at < end;) {
        at += strspn(text + at, ", ");
        const size_t len = strcspn(text + at, ",=: ");
        if (at < end && len)
            local_set(in, arena_strndup(in->b->arena, text + at, len), in->b->poison);
        at += strcspn(text + at, ",=");
    }
}

/* False: a fault is in diag, perhaps that of an earlier statement whose result this one uses. */
static bool
run_statement(Instance *in, ParseScope *scope, const Tree *t)
{
    Build *b = in->b;
    if (++b->statements > MAX_STATEMENTS || b->graph->nnode_ids > MAX_NODES) {
        if (!b->full)
            diag_error(b->diag, in->prepared->user,
                       "the model has more than %d statements or %d nodes", MAX_STATEMENTS,
                       MAX_NODES);
        b->full = true;
        return false;
    }
    const int before = diag_errors(b->diag);
    if (statement_parse(scope, t->loc.source, t->loc.line, t->loc.column, t->text, strlen(t->text)))
        return true;
    if (diag_errors(b->diag) != before && !in->is_frame)
        diag_also(b->diag, in->prepared->user, "in this layer, a block %s",
                  in->prepared->block->name);
    return false;
}

/* Runs the block's statements. False: a fault is in diag. */
static bool
run_block(Instance *in)
{
    const Tree *const *ops = in->prepared->ops;
    const int before = diag_errors(in->b->diag);
    ParseScope scope = {.graph = in->b->graph,
                        .diag = in->b->diag,
                        .user = in,
                        .lookup = scope_lookup,
                        .suggest = scope_suggest,
                        .define = scope_define,
                        .number = scope_number,
                        .param = scope_param,
                        .state = scope_state,
                        .call = scope_call};
    bool ok = add_weights(in);
    for (int i = 0; i < in->prepared->nops; i++) {
        if (run_statement(in, &scope, ops[i]))
            continue;
        poison_targets(in, ops[i]->text);
        ok = false;
    }
    return ok && diag_errors(in->b->diag) == before;
}

/* ---- layers --------------------------------------------------------------------------------- */

/* A layer being built. */
typedef struct {
    Build *b;
    const char *prefix; /* "layers.3." */
    Value *h, *in;      /* residual stream, and what the next block starts from */
    bool parallel;      /* it is inside of blocks that start from the same */
} Layer;

static bool
check_stream(const Layer *l, const Prepared *prepared, const char *name, const Value *out)
{
    if (type_equal(&out->type, &l->h->type))
        return true;
    diag_error(l->b->diag, out->loc, "block %s gives %s the type %s; the residual stream is %s",
               prepared->block->name, name, type_name(l->b->arena, &out->type),
               type_name(l->b->arena, &l->h->type));
    return diag_also(l->b->diag, prepared->user, "the block is used here");
}

static bool
layer_block(Layer *l, const Plan *plan)
{
    const Prepared *prepared = plan->prepared;
    Instance in = {.b = l->b, .prepared = prepared, .prefix = l->prefix};
    if (plan->name)
        in.prefix = arena_printf(l->b->arena, "%s%s.", l->prefix, plan->name);
    if (plan->share) {
        in.shared = arena_printf(l->b->arena, "shared.%s.", plan->share);
        in.own = arena_printf(l->b->arena, "%sshared.%s.%lld.", in.prefix, plan->share,
                              (long long)l->b->shared++);
    }
    local_set(&in, "embedded", l->b->embedded);
    local_set(&in, "h", l->h);
    local_set(&in, "in", l->in);
    if (!run_block(&in))
        return false;
    if (l->parallel && !in.reads_in)
        return diag_error(l->b->diag, prepared->user,
                          "block %s does not read `in`, which parallel blocks start from",
                          prepared->block->name);
    Value *h = local_find(&in, "h")->value, *next = local_find(&in, "in")->value;
    if (!check_stream(l, prepared, "h", h) || !check_stream(l, prepared, "in", next))
        return false;
    l->h = h;
    l->in = l->parallel ? next : h;
    return true;
}

/* A block, or those of a layer. */
static bool
layer_parts(Layer *l, const Plan *plan)
{
    bool ok = true;
    if (plan->kind == PLAN_BLOCK)
        return layer_block(l, plan);
    l->parallel = plan->kind == PLAN_PARALLEL;
    for (int i = 0; i < plan->ninner; i++)
        ok &= layer_parts(l, &plan->inner[i]);
    l->parallel = false;
    l->in = l->h;
    return ok;
}

static Value *
one_layer(Build *b, const Plan *plan, Value *h)
{
    Layer l = {.b = b, .h = h, .in = h};
    l.prefix = arena_printf(b->arena, "layers.%lld.", (long long)b->layers++);
    return layer_parts(&l, plan) ? l.h : NULL;
}

static Value *
plan_build(Build *b, const Plan *plan, Value *h)
{
    const int before = diag_errors(b->diag);
    for (int64_t i = 0; i < plan->repeat && diag_errors(b->diag) == before; i++) {
        Value *next = plan->kind == PLAN_LAYERS ? layers_build(b, plan->inner, plan->ninner, h)
                                                : one_layer(b, plan, h);
        h = next ? next : h;
    }
    return h;
}

/* Every entry is built, also behind one that failed: it then starts from the same h. */
static Value *
layers_build(Build *b, const Plan *list, int count, Value *h)
{
    const int before = diag_errors(b->diag);
    for (int i = 0; i < count; i++)
        h = plan_build(b, &list[i], h);
    return diag_errors(b->diag) == before ? h : NULL;
}

/* ---- the model ------------------------------------------------------------------------------ */

/* The weight of the frame that tie_embeddings leaves out, where another serves in its place. */
static FeTied
tied_of(const Build *b, const Prepared *frame)
{
    const FeValue *tie = &b->parts->keys[KEY_tie_embeddings];
    const Block *block = frame->block;
    for (int i = 0; tie->flag && i < block->nweights; i++)
        if (!frame->present[i] && block->weights[i].otherwise)
            return (FeTied){.tensor =
                                tensor_names_of(b->parts->tensors, block->weights[i].name, 0, 0),
                            .served = block->weights[i].otherwise,
                            .untie = "tie_embeddings=false",
                            .loc = tie->loc};
    return (FeTied){0};
}

bool
model_build(Arena *arena, const ModelParts *parts, Diag *diag, FeModel *out)
{
    Build b = {.arena = arena, .diag = diag, .parts = parts};
    const int before = diag_errors(diag);
    Scope scope = {0};
    if (!plan_layers(arena, parts, &scope, diag, &b.plan))
        return false;
    const Prepared *prepared = plan_frame(arena, parts, &scope, diag);
    if (!prepared || diag_errors(diag) != before)
        return false;
    const Block *block = prepared->block;
    b.graph = graph_new(arena, parts->name);
    b.poison = arena_alloc(arena, sizeof *b.poison);
    *b.poison = (Value){.kind = VALUE_RESULT, .name = "?"};
    Instance in = {.b = &b, .prepared = prepared, .prefix = "", .is_frame = true};
    if (!run_block(&in))
        return false;
    const Local *logits = local_find(&in, "logits");
    const int64_t vocab = parts->keys[KEY_vocab].i;
    const Type want = type_rows(DTYPE_f32, DIM_ROWS, vocab);
    if (!logits || !type_equal(&logits->value->type, &want))
        return diag_error(diag, block->loc, "the frame %s makes %s; expected logits: f32[R,%lld]",
                          block->name,
                          logits ? type_name(arena, &logits->value->type) : "nothing of that name",
                          (long long)vocab);
    graph_output(b.graph, logits->value);
    if (!graph_verify(b.graph, diag))
        return false;
    out->graph = b.graph;
    out->shapes = b.shapes;
    out->tied = tied_of(&b, prepared);
    return true;
}
