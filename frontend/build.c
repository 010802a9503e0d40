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
    Plan plan;     /* of all layers */
    Value *poison; /* stands for a result of a statement that failed: the parser keeps quiet about
                      it */
    const FeShape **shapes; /* of the graph's weights */
    int nshapes, cap_shapes;
    int64_t layers, statements; /* so far */
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
    Value *weights[BLOCK_MAX_WEIGHTS];
    Local *locals;
    int nlocals, cap_locals;
    bool is_frame;
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

static Value *
scope_lookup(ParseScope *scope, const char *name, SrcLoc loc, bool *absent)
{
    (void)loc;
    const Instance *in = scope->user;
    const Block *block = in->prepared->block;
    const Local *local = local_find(in, name);
    if (local)
        return local->value;
    int i = weight_find(block, name);
    if (i >= 0 && !in->prepared->present[i] && block->weights[i].otherwise)
        i = weight_find(block, block->weights[i].otherwise);
    *absent = i >= 0 && !in->prepared->present[i];
    return i < 0 ? NULL : in->weights[i];
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
        attr->i = v->i;
        return v->kind == SPEC_INT;
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

static Value *
scope_state(ParseScope *scope, Op op, const Type *type, SrcLoc loc)
{
    const Instance *in = scope->user;
    const Tree *named = tree_get(in->prepared->block->states, op_info[op].name);
    const char *name =
        arena_printf(in->b->arena, "%s%s", in->prefix, named ? named->text : op_info[op].name);
    return graph_state(in->b->graph, name, *type, loc);
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
    return layers_build(b, b->plan.inner, b->plan.ninner, args[0]);
}

/* ---- a block in the graph ------------------------------------------------------------------- */

static void
add_weights(Instance *in)
{
    const Block *block = in->prepared->block;
    for (int i = 0; i < block->nweights; i++) {
        if (!in->prepared->present[i])
            continue;
        const char *name = arena_printf(in->b->arena, "%s%s", in->prefix, block->weights[i].name);
        in->weights[i] = graph_weight(in->b->graph, name, in->prepared->type[i],
                                      tensor_names_of(in->b->parts->tensors, name),
                                      block->weights[i].init, in->prepared->loc[i]);
        VEC_PUSH(in->b->arena, in->b->shapes, in->b->nshapes, in->b->cap_shapes,
                 &in->prepared->shape[i]);
    }
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
    add_weights(in);
    bool ok = true;
    for (int i = 0; i < in->prepared->nops; i++) {
        if (run_statement(in, &scope, ops[i]))
            continue;
        poison_targets(in, ops[i]->text);
        ok = false;
    }
    return ok && diag_errors(in->b->diag) == before;
}

/* ---- layers --------------------------------------------------------------------------------- */

static Value *
one_layer(Build *b, const Prepared *prepared, Value *h)
{
    Instance in = {.b = b, .prepared = prepared};
    in.prefix = arena_printf(b->arena, "layers.%lld.", (long long)b->layers++);
    local_set(&in, "h", h);
    if (!run_block(&in))
        return NULL;
    Value *out = local_find(&in, "h")->value;
    if (type_equal(&out->type, &h->type))
        return out;
    diag_error(b->diag, out->loc, "block %s gives h the type %s; the residual stream is %s",
               prepared->block->name, type_name(b->arena, &out->type),
               type_name(b->arena, &h->type));
    diag_also(b->diag, prepared->user, "the block is used here");
    return NULL;
}

static Value *
plan_build(Build *b, const Plan *plan, Value *h)
{
    const int before = diag_errors(b->diag);
    for (int64_t i = 0; i < plan->repeat && diag_errors(b->diag) == before; i++) {
        Value *next = plan->prepared ? one_layer(b, plan->prepared, h)
                                     : layers_build(b, plan->inner, plan->ninner, h);
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

/* The frame must leave [R,vocab] in logits. */
static bool
take_logits(Build *b, const Instance *frame)
{
    const Block *block = frame->prepared->block;
    const Local *logits = local_find(frame, "logits");
    const Type want = type_rows(DTYPE_f32, DIM_ROWS, b->parts->keys[KEY_vocab].i);
    if (logits && type_equal(&logits->value->type, &want)) {
        graph_output(b->graph, logits->value);
        return true;
    }
    return diag_error(b->diag, block->loc, "the frame %s makes %s; expected logits: f32[R,%lld]",
                      block->name,
                      logits ? type_name(b->arena, &logits->value->type) : "nothing of that name",
                      (long long)b->parts->keys[KEY_vocab].i);
}

/* The weight of the frame that tie_embeddings leaves out, where another serves in its place. */
static FeTied
tied_of(const Build *b, const Prepared *frame)
{
    const FeValue *tie = &b->parts->keys[KEY_tie_embeddings];
    const Block *block = frame->block;
    for (int i = 0; tie->flag && i < block->nweights; i++)
        if (!frame->present[i] && block->weights[i].otherwise)
            return (FeTied){.tensor = tensor_names_of(b->parts->tensors, block->weights[i].name),
                            .served = block->weights[i].otherwise,
                            .untie = "tie_embeddings=false",
                            .loc = tie->loc};
    return (FeTied){0};
}

bool
model_build(Arena *arena, const ModelParts *parts, Diag *diag, FeModel *out)
{
    Build b = {.arena = arena, .diag = diag, .parts = parts};
    const FeValue *frame = &parts->keys[KEY_frame];
    const int before = diag_errors(diag);
    Scope scope = {0};
    if (!plan_layers(arena, parts, &scope, diag, &b.plan))
        return false;
    const Block *block = blocks_find(parts->blocks, frame->text, frame->loc);
    const Prepared *prepared =
        block ? block_prepare(arena, block, NULL, &scope, frame->loc, diag) : NULL;
    if (!prepared || diag_errors(diag) != before)
        return false;
    b.graph = graph_new(arena, parts->name);
    b.poison = arena_alloc(arena, sizeof *b.poison);
    *b.poison = (Value){.kind = VALUE_RESULT, .name = "?"};
    Instance in = {.b = &b, .prepared = prepared, .prefix = "", .is_frame = true};
    const Type ids = {
        DTYPE_i32, {1, {{DIM_TOKENS, 0}}}
    };
    local_set(&in, "ids", graph_input(b.graph, "ids", ids, block->loc));
    if (!run_block(&in) || !take_logits(&b, &in) || !graph_verify(b.graph, diag))
        return false;
    out->graph = b.graph;
    out->shapes = b.shapes;
    out->tied = tied_of(&b, prepared);
    return true;
}
