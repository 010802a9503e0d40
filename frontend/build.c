/* frontend/build.c -- prepared blocks to nodes. Knows no block by name: the frame and every layer are
 * statements of the text form, read by the parser of the text form. */
#include "frontend/build.h"

#include <ctype.h>
#include <string.h>

enum {
    MAX_LAYERS = 4096,
    MAX_STATEMENTS = 65536 /* of the whole model: bounds what hostile files can ask for */
};

typedef struct {
    Arena *arena;
    Diag *diag;
    Graph *graph;
    const ModelParts *parts;
    Scope model;
    Value *poison; /* stands for a result of a statement that failed: the parser keeps quiet about it */
    int64_t layers, statements; /* so far */
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
    const char **names = arena_array(in->b->arena, (size_t)(in->nlocals + block->nweights) + 1,
                                     sizeof *names);
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
        if (!tree_int(t, &ints[i]))
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
    const char *name = arena_printf(in->b->arena, "%s%s", in->prefix,
                                    named ? named->text : op_info[op].name);
    return graph_state(in->b->graph, name, *type, loc);
}

static Value *layers_build(Build *b, const Tree *list, Value *h);

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
    return layers_build(b, b->parts->keys[KEY_layers].tree, args[0]);
}

/* ---- a block in the graph ------------------------------------------------------------------- */

static void
add_weights(Instance *in)
{
    const Block *block = in->prepared->block;
    for (int i = 0; i < block->nweights; i++) {
        if (!in->prepared->present[i])
            continue;
        const char *name =
            arena_printf(in->b->arena, "%s%s", in->prefix, block->weights[i].name);
        in->weights[i] = graph_weight(in->b->graph, name, in->prepared->type[i],
                                      tensor_names_of(in->b->parts->tensors, name),
                                      in->prepared->init[i], in->prepared->loc[i]);
    }
}

/* The names a failed statement would have made: later statements may use them without more being said. */
static void
poison_targets(Instance *in, const char *text)
{
    const size_t end = strcspn(text, "=");
    for (size_t at = 0; at < end;) {
        at += strspn(text + at, ", ");
        const size_t len = strcspn(text + at, ",=: ");
        if (at < end && len)
            local_set(in, arena_strndup(in->b->arena, text + at, len),
                      in->b->poison);
        at += strcspn(text + at, ",=");
    }
}

static bool
run_statement(Instance *in, ParseScope *scope, const Tree *t)
{
    Build *b = in->b;
    if (++b->statements > MAX_STATEMENTS) {
        diag_error(b->diag, in->prepared->user, "the model has more than %d statements",
                   MAX_STATEMENTS);
        return false;
    }
    const int before = diag_errors(b->diag);
    if (statement_parse(scope, t->loc.source, t->loc.line, t->loc.column, t->text, strlen(t->text)))
        return true;
    if (diag_errors(b->diag) == before)
        return false; /* it uses the result of one that failed */
    if (!in->is_frame)
        diag_also(b->diag, in->prepared->user, "in this layer, a block %s",
                  in->prepared->block->name);
    poison_targets(in, t->text);
    return true;
}

/* Runs the block's statements. False: a fault is in diag. */
static bool
run_block(Instance *in)
{
    const Tree *ops = in->prepared->block->ops;
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
    for (int i = 0; i < ops->count; i++)
        if (!run_statement(in, &scope, ops->items[i]))
            poison_targets(in, ops->items[i]->text);
    return diag_errors(in->b->diag) == before;
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
    StrBuf before = {0}, after = {0};
    type_print(&before, &h->type);
    type_print(&after, &out->type);
    diag_error(b->diag, out->loc, "block %s gives h the type %s; the residual stream is %s",
               prepared->block->name, sb_text(&after), sb_text(&before));
    diag_also(b->diag, prepared->user, "the block is used here");
    sb_free(&before);
    sb_free(&after);
    return NULL;
}

/* The parameters' names, for keys_read. */
static const char **
param_names(Arena *arena, const Block *block)
{
    const char **names = arena_array(arena, (size_t)block->nparams + 1, sizeof *names);
    for (int i = 0; i < block->nparams; i++)
        names[i] = block->params[i].spec.name;
    return names;
}

/* Reads an entry that names a block. NULL: faults are in diag. */
static Prepared *
read_layer(Build *b, const Tree *entry, int64_t *repeat)
{
    FeValue keys[KEY_COUNT] = {0};
    const Tree *name = tree_get(entry, "block");
    if (!tree_is(name, TREE_SCALAR)) {
        diag_error(b->diag, name ? name->loc : entry->loc,
                   "a layer names its block: {block: NAME, ...}; or it is {repeat: N, layers: [...]}");
        return NULL;
    }
    const Block *block = blocks_find(b->parts->blocks, name->text, name->loc);
    if (!block)
        return NULL;
    const bool ok = keys_read(b->arena, entry, "layers[].", param_names(b->arena, block),
                              block->nparams, b->diag, keys);
    *repeat = keys[KEY_layer_repeat].i;
    if (keys[KEY_layer_layers].tree) {
        diag_error(b->diag, keys[KEY_layer_layers].loc, "a layer has a block or layers, not both");
        return NULL;
    }
    Prepared *prepared = block_prepare(b->arena, block, entry, &b->model, name->loc, b->diag);
    return ok ? prepared : NULL;
}

static Value *
group_build(Build *b, const Tree *entry, Value *h)
{
    FeValue keys[KEY_COUNT] = {0};
    if (!keys_read(b->arena, entry, "layers[].", NULL, 0, b->diag, keys))
        return NULL;
    const int before = diag_errors(b->diag);
    for (int64_t i = 0; i < keys[KEY_layer_repeat].i && diag_errors(b->diag) == before; i++)
        h = layers_build(b, keys[KEY_layer_layers].tree, h);
    return diag_errors(b->diag) == before ? h : NULL;
}

static Value *
entry_build(Build *b, const Tree *entry, Value *h)
{
    int64_t repeat = 0;
    if (tree_get(entry, "layers") && !tree_get(entry, "block"))
        return group_build(b, entry, h);
    const Prepared *prepared = read_layer(b, entry, &repeat);
    if (!prepared)
        return NULL;
    for (int64_t i = 0; i < repeat && h; i++)
        h = one_layer(b, prepared, h);
    return h;
}

/* Every entry is looked at, also behind one that failed: it then starts from the same h. */
static Value *
layers_build(Build *b, const Tree *list, Value *h)
{
    const int before = diag_errors(b->diag);
    for (int i = 0; i < list->count; i++) {
        Value *next = entry_build(b, list->items[i], h);
        h = next ? next : h;
    }
    return diag_errors(b->diag) == before ? h : NULL;
}

/* How many layers a list makes, or -1 with a fault in diag. */
static int64_t
count_layers(const Build *b, const Tree *list)
{
    int64_t total = 0;
    for (int i = 0; i < list->count; i++) {
        const Tree *entry = list->items[i];
        const Tree *inner = tree_get(entry, "layers"), *times = tree_get(entry, "repeat");
        int64_t repeat = 1, each = 1;
        if (tree_is(inner, TREE_LIST))
            each = count_layers(b, inner);
        if (each < 0)
            return -1;
        if (!tree_int(times, &repeat) || repeat < 1)
            repeat = 1; /* reported where it is read */
        if (!size_mul(each, repeat, &each) || !size_add(total, each, &total) || total > MAX_LAYERS) {
            diag_error(b->diag, entry->loc, "this makes more than %d layers", MAX_LAYERS);
            return -1;
        }
    }
    return total;
}

/* ---- the model ------------------------------------------------------------------------------ */

static bool
check_layers(const Build *b, const Tree *list)
{
    bool ok = true;
    for (int i = 0; i < list->count; i++) {
        const Tree *entry = list->items[i];
        const Tree *inner = tree_get(entry, "layers");
        if (entry->kind != TREE_MAP || (inner && inner->kind != TREE_LIST)) {
            const Tree *at = entry->kind != TREE_MAP ? entry : inner;
            diag_error(b->diag, at->loc, "%s is %s; expected %s",
                       at == entry ? "a layer" : "layers", tree_text(b->arena, at),
                       at == entry ? "{block: NAME, ...}" : "a list");
            ok = false;
        } else if (inner) {
            ok &= check_layers(b, inner);
        }
    }
    return ok;
}

/* What block files may compute with. */
static void
bind_model(Build *b, int64_t depth)
{
    static const struct {
        const char *name;
        KeyId key;
    } names[] = {{"vocab", KEY_vocab},
                 {"dim", KEY_dim},
                 {"eps", KEY_eps},
                 {"tie_embeddings", KEY_tie_embeddings}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        scope_bind(b->arena, &b->model, names[i].name, b->parts->keys[names[i].key], NULL);
    const FeValue layers = {.kind = SPEC_INT, .i = depth, .num = (double)depth};
    scope_bind(b->arena, &b->model, "depth", layers, NULL);
}

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
    StrBuf text = {0};
    if (logits)
        type_print(&text, &logits->value->type);
    else
        sb_puts(&text, "nothing of that name");
    diag_error(b->diag, block->loc, "the frame %s makes %s; expected logits: f32[R,%lld]",
               block->name, sb_text(&text), (long long)b->parts->keys[KEY_vocab].i);
    sb_free(&text);
    return false;
}

static bool
build_frame(Build *b)
{
    const FeValue *name = &b->parts->keys[KEY_frame];
    const Block *block = blocks_find(b->parts->blocks, name->text, name->loc);
    const Prepared *prepared =
        block ? block_prepare(b->arena, block, NULL, &b->model, name->loc, b->diag) : NULL;
    if (!prepared)
        return false;
    Instance frame = {.b = b, .prepared = prepared, .prefix = "", .is_frame = true};
    const Type ids = {DTYPE_i32, {1, {{DIM_TOKENS, 0}}}};
    local_set(&frame, "ids", graph_input(b->graph, "ids", ids, block->loc));
    return run_block(&frame) && take_logits(b, &frame);
}

Graph *
model_build(Arena *arena, const ModelParts *parts, Diag *diag)
{
    Build b = {.arena = arena, .diag = diag, .parts = parts};
    const Tree *layers = parts->keys[KEY_layers].tree;
    b.graph = graph_new(arena, parts->name);
    b.poison = arena_alloc(arena, sizeof *b.poison);
    *b.poison = (Value){.kind = VALUE_RESULT, .name = "?"};
    if (!check_layers(&b, layers))
        return NULL;
    const int64_t depth = count_layers(&b, layers);
    if (depth < 0)
        return NULL;
    bind_model(&b, depth);
    if (!build_frame(&b) || !graph_verify(b.graph, diag))
        return NULL;
    return b.graph;
}
