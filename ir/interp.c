/* ir/interp.c -- runs a graph of any stage with the references of its ops, in float64.
 *
 * Graphs have passed graph_verify. Kernels are ignored: a graph means what its nodes mean in order.
 * Two things keep a model of billions of parameters within memory: weights stay as the checkpoint
 * stores them (references convert what they read), and every other value is freed after its last
 * use. Nodes that make parameters run just before the first node that reads their result, wherever
 * the graph has them, so that only one packed weight is there at a time. A product with a weight
 * that a memo has is not computed, and neither are the parameters that it alone would read. */
#include <stdlib.h>
#include <string.h>

#include "ir/ref.h"

struct Interp {
    const Graph *g;
    WeightSource source;
    Arena *arena;       /* of the interpreter */
    int *uses;          /* by value id: how many operands and outputs name it */
    int *left;          /* by value id: those still to come in this run */
    RefTensor *tensors; /* by value id; numbers and states keep theirs between runs */
    Node **stack;       /* [nodes] */
    Blocks blocks;
    InterpMemo *memo;   /* NULL: everything is computed */
    MemoKey *param_key; /* by value id: what a parameter is made from */
    int64_t before;     /* tokens of the runs before */
    const char *why;    /* what went wrong */
};

/* ---- values -------------------------------------------------------------------------------- */

static bool
fail(Interp *in, const char *why)
{
    in->why = why;
    return false;
}

/* Gives a value its dimensions in this run. */
static bool
tensor_shape(Interp *in, const Value *v, int64_t tokens, int64_t rows)
{
    RefTensor *t = &in->tensors[v->id];
    t->dtype = v->type.dtype;
    t->rank = v->type.shape.rank;
    t->count = 1;
    for (int i = 0; i < t->rank; i++) {
        t->dim[i] = dim_count(v->type.shape.dim[i], tokens, rows);
        if (v->type.shape.dim[i].kind == DIM_KEPT)
            t->dim[i] += in->before;
        if (!size_mul(t->count, t->dim[i], &t->count))
            return fail(in, arena_printf(in->arena, "%s has too many elements", v->name));
    }
    return true;
}

/* Memory for the elements of a value, zeros but where a node writes them all. */
static bool
tensor_alloc(Interp *in, const Value *v)
{
    RefTensor *t = &in->tensors[v->id];
    const OpClass cls = v->def ? op_info[v->def->op].cls : CLASS_VIEW;
    t->at = block_new(&in->blocks, t->count, cls != CLASS_POINTWISE && cls != CLASS_LAYOUT);
    if (t->at == NULL)
        return fail(in, arena_printf(in->arena, "out of memory: %s has %lld elements", v->name,
                                     (long long)t->count));
    return true;
}

static void
tensor_free(Interp *in, const Value *v)
{
    block_free(&in->blocks, in->tensors[v->id].at);
    in->tensors[v->id].at = NULL;
}

/* ---- a new interpreter --------------------------------------------------------------------- */

Interp *
interp_new(const Graph *g, const WeightSource *source)
{
    Arena *arena = arena_new();
    Interp *in = arena_alloc(arena, sizeof *in);
    *in = (Interp){.g = g, .arena = arena};
    if (source != NULL)
        in->source = *source;
    const size_t values = (size_t)g->nvalue_ids;
    in->uses = arena_array(arena, values, sizeof *in->uses);
    in->left = arena_array(arena, values, sizeof *in->left);
    in->tensors = arena_array(arena, values, sizeof *in->tensors);
    in->stack = arena_array(arena, (size_t)g->nnode_ids, sizeof *in->stack);
    for (const Node *n = g->first; n != NULL; n = n->next)
        for (int i = 0; i < n->nin; i++) {
            Value *v = n->in[i];
            if (v == NULL)
                continue;
            in->uses[v->id]++;
            if (v->kind == VALUE_NUMBER)
                in->tensors[v->id] = (RefTensor){.count = 1, .dtype = DTYPE_f32, .at = &v->number};
        }
    for (int i = 0; i < g->noutputs; i++)
        in->uses[g->outputs[i]->id]++;
    for (int i = 0; i < g->nstates; i++)
        if (!type_grows(&g->states[i]->type) && tensor_shape(in, g->states[i], 0, 0))
            (void)tensor_alloc(in, g->states[i]); /* interp_run reports what is missing */
    return in;
}

static void
free_results(Interp *in)
{
    for (const Node *n = in->g->first; n != NULL; n = n->next)
        for (int i = 0; i < n->nout; i++)
            tensor_free(in, n->out[i]);
    for (int i = 0; i < in->g->ninputs; i++)
        tensor_free(in, in->g->inputs[i]);
}

void
interp_free(Interp *in)
{
    if (in == NULL)
        return;
    free_results(in);
    for (int i = 0; i < in->g->nstates; i++)
        tensor_free(in, in->g->states[i]);
    blocks_free(&in->blocks);
    arena_free(in->arena);
}

/* ---- products that were computed before ---------------------------------------------------- */

static MemoKey
operand_key(const Interp *in, MemoKey key, const Value *v)
{
    if (!v)
        return memo_mix(key, "", 1);
    if (v->kind == VALUE_NUMBER)
        return memo_mix(key, &v->number, sizeof v->number);
    if (v->is_param)
        return memo_mix(key, &in->param_key[v->id], sizeof in->param_key[v->id]);
    const RefTensor *t = &in->tensors[v->id];
    key = memo_mix(key, t->dim, sizeof *t->dim * (size_t)t->rank);
    return memo_mix(key, t->at, sizeof *t->at * (size_t)t->count);
}

/* What a node computes, and from what: parameters by what they are made from, others by their
 * elements. */
static MemoKey
node_key(const Interp *in, const Node *n)
{
    StrBuf text = {0};
    sb_puts(&text, op_info[n->op].name);
    for (int i = 0; i < n->attrs.count; i++) {
        const AttrList alone = {.count = 1, .items = &n->attrs.items[i]};
        if (alone.items->id != ATTR_matmul) /* which code multiplies, not what */
            attrs_print(&text, &alone);
    }
    MemoKey key = memo_mix((MemoKey){0}, sb_text(&text), text.len);
    sb_free(&text);
    for (int i = 0; i < n->nin; i++)
        key = operand_key(in, key, n->in[i]);
    return key;
}

void
interp_use_memo(Interp *in, InterpMemo *memo)
{
    in->memo = memo;
    in->param_key = arena_array(in->arena, (size_t)in->g->nvalue_ids, sizeof *in->param_key);
    for (int i = 0; i < in->g->nweights; i++) {
        const Value *w = in->g->weights[i];
        in->param_key[w->id] = memo_mix((MemoKey){0}, w->name, strlen(w->name));
    }
    for (const Node *n = in->g->first; n != NULL; n = n->next)
        for (int i = 0; n->out[0]->is_param && i < n->nout; i++)
            in->param_key[n->out[i]->id] = memo_mix(node_key(in, n), &i, sizeof i);
}

/* Products of activations with weights cost far more than looking them up. */
static bool
is_kept(const Interp *in, const Node *n)
{
    bool weight = false, state = false;
    for (int i = 0; i < n->nin; i++) {
        weight |= n->in[i] && n->in[i]->is_param;
        state |= n->in[i] && n->in[i]->kind == VALUE_STATE;
    }
    return in->memo && op_info[n->op].cls == CLASS_CONTRACT && weight && !state && n->nout == 1 &&
           !n->out[0]->is_param;
}

/* ---- a run --------------------------------------------------------------------------------- */

static bool
open_weights(Interp *in)
{
    for (int i = 0; i < in->g->nweights; i++) {
        const Value *w = in->g->weights[i];
        RefTensor *t = &in->tensors[w->id];
        if (in->uses[w->id] == 0 || t->stored != NULL)
            continue;
        if (!tensor_shape(in, w, 0, 0))
            return false;
        if (in->source.open != NULL)
            t->stored = in->source.open(in->source.user, w);
        if (t->stored == NULL)
            return fail(in, arena_printf(in->arena, "weight %s has no values", w->name));
    }
    return true;
}

/* given: by InputId; NULL: positions, which are counted. */
static bool
set_inputs(Interp *in, const int32_t *const *given, const RefCall *call)
{
    for (int i = 0; i < in->g->ninputs; i++) {
        const Value *input = in->g->inputs[i];
        RefTensor *t = &in->tensors[input->id];
        if (!tensor_shape(in, input, call->tokens, call->rows) || !tensor_alloc(in, input))
            return false;
        const int32_t *numbers = given[value_input(input) - input_info];
        for (int64_t j = 0; j < t->count; j++)
            t->at[j] = numbers ? numbers[j] : (double)(in->before + j);
    }
    return true;
}

/* Ids must be rows of the tables they are looked up in; looked at before any state changes. */
static bool
check_ids(Interp *in, const int32_t *ids, int64_t tokens)
{
    for (const Node *n = in->g->first; n != NULL; n = n->next) {
        const Value *table = node_operand(n, 'i') ? node_operand(n, 'W') : NULL;
        if (!table)
            continue;
        const int64_t vocab = table->type.shape.dim[0].n;
        for (int64_t i = 0; i < tokens; i++)
            if (ids[i] < 0 || ids[i] >= vocab)
                return fail(in, arena_printf(in->arena, "id %d at %lld is not in 0 .. %lld",
                                             (int)ids[i], (long long)i, (long long)vocab - 1));
    }
    return true;
}

static bool
check_call(Interp *in, const int32_t *ids, int64_t tokens, const int32_t *pick, int64_t rows)
{
    if (tokens < 1 || rows < 0)
        return fail(in, "no tokens");
    for (int64_t r = 0; r < rows; r++)
        if (pick[r] < 0 || pick[r] >= tokens)
            return fail(in, arena_printf(in->arena, "row %d is not one of the %lld tokens",
                                         (int)pick[r], (long long)tokens));
    for (int i = 0; i < in->g->nstates; i++)
        if (!type_grows(&in->g->states[i]->type) && !in->tensors[in->g->states[i]->id].at)
            return fail(in,
                        arena_printf(in->arena, "out of memory: state %s", in->g->states[i]->name));
    return check_ids(in, ids, tokens);
}

/* Growing states get rows of zeros for the tokens of this run. */
static bool
grow_states(Interp *in, int64_t tokens)
{
    for (int i = 0; i < in->g->nstates; i++) {
        const Value *state = in->g->states[i];
        if (!type_grows(&state->type))
            continue;
        RefTensor *t = &in->tensors[state->id];
        const RefTensor old = *t;
        if (!tensor_shape(in, state, tokens, 0) || !tensor_alloc(in, state)) {
            *t = old;
            return false;
        }
        /* A run that failed may have left more rows than those of the tokens before. */
        if (old.at)
            memcpy(t->at, old.at, (size_t)(in->before * ref_width(t)) * sizeof *t->at);
        block_free(&in->blocks, old.at);
    }
    return true;
}

/* Operands are there. */
static bool
compute_node(Interp *in, const Node *n, RefCall *call)
{
    call->node = n;
    call->blocks = &in->blocks;
    for (int i = 0; i < n->nin; i++)
        call->in[i] = n->in[i] ? in->tensors[n->in[i]->id] : (RefTensor){0};
    for (int i = 0; i < n->nout; i++) {
        const Value *v = n->out[i];
        if (!tensor_shape(in, v, call->tokens, call->rows) || !tensor_alloc(in, v))
            return false;
        call->out[i] = in->tensors[v->id];
    }
    call->scratch = arena_new();
    op_info[n->op].ref(call);
    ref_release(call);
    arena_free(call->scratch);
    return true;
}

static void
node_done(Interp *in, const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        if (v != NULL && --in->left[v->id] <= 0 &&
            (v->kind == VALUE_RESULT || v->kind == VALUE_INPUT))
            tensor_free(in, v);
    }
    for (int i = 0; i < n->nout; i++)
        if (in->uses[n->out[i]->id] == 0)
            tensor_free(in, n->out[i]);
}

/* An operand of n whose node makes parameters and has not run; NULL: none. */
static Node *
unmade_param(const Interp *in, const Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        if (v != NULL && v->kind == VALUE_RESULT && v->is_param && in->tensors[v->id].at == NULL)
            return v->def;
    }
    return NULL;
}

/* Runs n after the parameters it needs. A stack of its own: expressions may be deep. */
static bool
run_needed(Interp *in, Node *n, RefCall *call)
{
    int depth = 0;
    in->stack[depth++] = n;
    while (depth > 0) {
        Node *const top = in->stack[depth - 1];
        Node *const first = unmade_param(in, top);
        if (first != NULL) {
            in->stack[depth++] = first;
            continue;
        }
        if (!compute_node(in, top, call))
            return false;
        node_done(in, top);
        depth--;
    }
    return true;
}

static bool
run_kept(Interp *in, Node *n, RefCall *call)
{
    const Value *v = n->out[0];
    const MemoKey key = node_key(in, n);
    if (!tensor_shape(in, v, call->tokens, call->rows))
        return false;
    RefTensor *t = &in->tensors[v->id];
    const double *found = memo_find(in->memo, key, t->count);
    if (!found) {
        if (!run_needed(in, n, call))
            return false;
        if (t->at)
            memo_keep(in->memo, key, t->at, t->count);
        return true;
    }
    if (!tensor_alloc(in, v))
        return false;
    memcpy(t->at, found, (size_t)t->count * sizeof *t->at);
    node_done(in, n);
    return true;
}

static bool
run_nodes(Interp *in, RefCall *call)
{
    memcpy(in->left, in->uses, (size_t)in->g->nvalue_ids * sizeof *in->left);
    for (Node *n = in->g->first; n != NULL; n = n->next) {
        if (n->out[0]->is_param)
            continue; /* when it is needed */
        if (!(is_kept(in, n) ? run_kept(in, n, call) : run_needed(in, n, call)))
            return false;
    }
    for (int i = 0; i < in->g->noutputs; i++) {
        const Value *v = in->g->outputs[i];
        if (v->kind == VALUE_RESULT && !in->tensors[v->id].at && !run_needed(in, v->def, call))
            return false;
    }
    return true;
}

bool
interp_run(Interp *in, const int32_t *ids, int64_t tokens, const int32_t *pick, int64_t rows,
           double *out, const char **why)
{
    free_results(in);
    RefCall call = {.tokens = tokens, .rows = rows};
    const int32_t *given[INPUT_COUNT] = {[INPUT_ids] = ids, [INPUT_pick] = pick};
    if (!check_call(in, ids, tokens, pick, rows) || !open_weights(in) ||
        !set_inputs(in, given, &call) || !grow_states(in, tokens) || !run_nodes(in, &call)) {
        *why = in->why;
        return false;
    }
    const RefTensor *first = &in->tensors[in->g->outputs[0]->id];
    memcpy(out, first->at, (size_t)first->count * sizeof *out);
    in->before += tokens;
    return true;
}

const double *
interp_state(const Interp *in, const char *name, int64_t *count)
{
    for (int i = 0; i < in->g->nstates; i++) {
        const Value *state = in->g->states[i];
        if (strcmp(state->name, name) != 0)
            continue;
        *count = in->tensors[state->id].count;
        return in->tensors[state->id].at;
    }
    return NULL;
}
