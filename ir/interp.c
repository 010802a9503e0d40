/* ir/interp.c -- runs a graph of any stage with the references of its ops, in float64.
 *
 * Graphs have passed graph_verify. Kernels are ignored: a graph means what its nodes mean in order.
 * Two things keep a model of billions of parameters within memory: weights stay as the checkpoint
 * stores them (references convert what they read), and every other value is freed after its last
 * use. Nodes that make parameters run just before the first node that reads their result, wherever
 * the graph has them, so that only one packed weight is there at a time. */
#include <stdlib.h>
#include <string.h>

#include "ir/ref.h"

struct Interp {
    const Graph *g;
    WeightSource source;
    Arena *arena;    /* of the interpreter */
    Node **schedule; /* nodes in the order they run */
    int nschedule;
    int *uses;          /* by value id: how many operands of the schedule and outputs name it */
    int *left;          /* by value id: those still to come in this run */
    RefTensor *tensors; /* by value id; numbers and states keep theirs between runs */
    const char *why;    /* what went wrong */
};

/* ---- order --------------------------------------------------------------------------------- */

/* An operand of n whose node makes parameters and is not scheduled yet; NULL: none. */
static Node *
unscheduled_param(const Node *n, const bool *done)
{
    for (int i = 0; i < n->nin; i++) {
        const Value *v = n->in[i];
        if (v != NULL && v->kind == VALUE_RESULT && v->is_param && !done[v->def->id])
            return v->def;
    }
    return NULL;
}

/* Appends n after the parameters it needs. A stack of its own: expressions may be deep. */
static void
schedule_node(Interp *in, Node *n, bool *done, Node **stack)
{
    int depth = 0;
    stack[depth++] = n;
    while (depth > 0) {
        Node *const top = stack[depth - 1];
        Node *const first = unscheduled_param(top, done);
        if (first != NULL) {
            stack[depth++] = first;
            continue;
        }
        if (!done[top->id])
            in->schedule[in->nschedule++] = top;
        done[top->id] = true;
        depth--;
    }
}

static void
schedule_graph(Interp *in)
{
    const Graph *g = in->g;
    const size_t nodes = (size_t)g->nnode_ids;
    in->schedule = arena_array(in->arena, nodes, sizeof *in->schedule);
    Arena *scratch = arena_new();
    bool *done = arena_array(scratch, nodes, sizeof *done);
    Node **stack = arena_array(scratch, nodes, sizeof *stack);
    for (Node *n = g->first; n != NULL; n = n->next)
        if (!n->out[0]->is_param)
            schedule_node(in, n, done, stack);
    for (int i = 0; i < g->noutputs; i++)
        if (g->outputs[i]->kind == VALUE_RESULT && !done[g->outputs[i]->def->id])
            schedule_node(in, g->outputs[i]->def, done, stack);
    arena_free(scratch);
}

static void
count_uses(Interp *in)
{
    for (int s = 0; s < in->nschedule; s++)
        for (int i = 0; i < in->schedule[s]->nin; i++)
            if (in->schedule[s]->in[i] != NULL)
                in->uses[in->schedule[s]->in[i]->id]++;
    for (int i = 0; i < in->g->noutputs; i++)
        in->uses[in->g->outputs[i]->id]++;
}

/* ---- values -------------------------------------------------------------------------------- */

static bool
fail(Interp *in, const char *why)
{
    in->why = why;
    return false;
}

static int64_t
dim_length(Dim dim, int64_t tokens, int64_t rows)
{
    switch (dim.kind) {
    case DIM_CONST:
        return dim.n;
    case DIM_TOKENS:
        return tokens;
    case DIM_ROWS:
        return rows;
    case DIM_CHUNKS:
        return dim.n <= CHUNK_ALL ? 1 : (tokens + dim.n - 1) / dim.n;
    case DIM_CHUNK:
        return dim.n <= CHUNK_ALL ? tokens : dim.n;
    }
    die("dimension of kind %d", (int)dim.kind);
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
        t->dim[i] = dim_length(v->type.shape.dim[i], tokens, rows);
        if (!size_mul(t->count, t->dim[i], &t->count))
            return fail(in, arena_printf(in->arena, "%s has too many elements", v->name));
    }
    return true;
}

/* Zeros for the elements of a value. */
static bool
tensor_alloc(Interp *in, const Value *v)
{
    RefTensor *t = &in->tensors[v->id];
    t->at = calloc((size_t)(t->count > 0 ? t->count : 1), sizeof *t->at);
    if (t->at == NULL)
        return fail(in, arena_printf(in->arena, "out of memory: %s has %lld elements", v->name,
                                     (long long)t->count));
    return true;
}

static void
tensor_free(Interp *in, const Value *v)
{
    free(in->tensors[v->id].at);
    in->tensors[v->id].at = NULL;
}

static void
use_done(Interp *in, const Value *v)
{
    if (--in->left[v->id] <= 0 && (v->kind == VALUE_RESULT || v->kind == VALUE_INPUT))
        tensor_free(in, v);
}

/* ---- a new interpreter --------------------------------------------------------------------- */

static void
make_numbers(Interp *in)
{
    for (int s = 0; s < in->nschedule; s++) {
        for (int i = 0; i < in->schedule[s]->nin; i++) {
            Value *v = in->schedule[s]->in[i];
            if (v == NULL || v->kind != VALUE_NUMBER)
                continue;
            in->tensors[v->id] = (RefTensor){.count = 1, .dtype = DTYPE_f32, .at = &v->number};
        }
    }
}

static void
make_states(Interp *in)
{
    for (int i = 0; i < in->g->nstates; i++) {
        const Value *state = in->g->states[i];
        if (tensor_shape(in, state, 0, 0))
            (void)tensor_alloc(in, state); /* interp_run reports what is missing */
    }
}

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
    schedule_graph(in);
    count_uses(in);
    make_numbers(in);
    make_states(in);
    return in;
}

static void
free_results(Interp *in)
{
    for (int s = 0; s < in->nschedule; s++)
        for (int i = 0; i < in->schedule[s]->nout; i++)
            tensor_free(in, in->schedule[s]->out[i]);
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
    arena_free(in->arena);
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

static bool
set_inputs(Interp *in, const int32_t *ids, int64_t tokens)
{
    for (int i = 0; i < in->g->ninputs; i++) {
        const Value *input = in->g->inputs[i];
        RefTensor *t = &in->tensors[input->id];
        if (!tensor_shape(in, input, tokens, 0))
            return false;
        if (!tensor_alloc(in, input))
            return false;
        for (int64_t j = 0; j < tokens; j++)
            t->at[j] = ids[j];
    }
    return true;
}

/* The ids of every embed must be rows of its table; looked at before any state changes. They are
 * the input: no op makes ids. */
static bool
check_ids(Interp *in, const int32_t *ids, int64_t tokens)
{
    for (int s = 0; s < in->nschedule; s++) {
        const Node *n = in->schedule[s];
        if (n->op != OP_embed)
            continue;
        const int64_t vocab = n->in[1]->type.shape.dim[0].n;
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
        if (in->tensors[in->g->states[i]->id].at == NULL)
            return fail(in,
                        arena_printf(in->arena, "out of memory: state %s", in->g->states[i]->name));
    return check_ids(in, ids, tokens);
}

static bool
run_node(Interp *in, Node *n, RefCall *call)
{
    call->node = n;
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
    for (int i = 0; i < n->nin; i++)
        if (n->in[i] != NULL)
            use_done(in, n->in[i]);
    for (int i = 0; i < n->nout; i++)
        if (in->uses[n->out[i]->id] == 0)
            tensor_free(in, n->out[i]);
    return true;
}

static bool
run_schedule(Interp *in, RefCall *call)
{
    memcpy(in->left, in->uses, (size_t)in->g->nvalue_ids * sizeof *in->left);
    for (int s = 0; s < in->nschedule; s++)
        if (!run_node(in, in->schedule[s], call))
            return false;
    return true;
}

bool
interp_run(Interp *in, const int32_t *ids, int64_t tokens, const int32_t *pick, int64_t rows,
           double *out, const char **why)
{
    free_results(in);
    RefCall call = {.tokens = tokens, .rows = rows, .pick = pick};
    if (!check_call(in, ids, tokens, pick, rows) || !open_weights(in) ||
        !set_inputs(in, ids, tokens) || !run_schedule(in, &call)) {
        *why = in->why;
        return false;
    }
    const RefTensor *first = &in->tensors[in->g->outputs[0]->id];
    memcpy(out, first->at, (size_t)first->count * sizeof *out);
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
