/* ir/graph.c -- building and rewriting graphs. Use counts, names and dense ids are written
 * by this file alone. */
#include <string.h>

#include "ir/internal.h"

Graph *
graph_new(Arena *arena, const char *name)
{
    Graph *g = arena_alloc(arena, sizeof *g);
    g->arena = arena;
    g->name = arena_strdup(arena, name);
    g->names = names_new(arena);
    return g;
}

/* ---- values ------------------------------------------------------------------------------- */

static Value *
value_new(Graph *g, ValueKind kind, const char *name, Type type, SrcLoc loc)
{
    Value *v = arena_alloc(g->arena, sizeof *v);
    v->kind = kind;
    v->id = g->nvalue_ids++;
    v->type = type;
    v->loc = loc;
    v->is_param = kind == VALUE_WEIGHT || kind == VALUE_NUMBER;
    if (kind == VALUE_NUMBER)
        return v;
    v->name = names_fresh(g->names, name);
    names_add(g->names, v);
    return v;
}

Value *
graph_input(Graph *g, const char *name, Type type, SrcLoc loc)
{
    Value *v = value_new(g, VALUE_INPUT, name, type, loc);
    VEC_PUSH(g->arena, g->inputs, g->ninputs, g->cap_inputs, v);
    return v;
}

Value *
graph_weight(Graph *g, const char *name, Type type, const char *tensor, const char *init,
             SrcLoc loc)
{
    Value *v = value_new(g, VALUE_WEIGHT, name, type, loc);
    v->tensor = arena_strdup(g->arena, tensor);
    v->init = arena_strdup(g->arena, init);
    VEC_PUSH(g->arena, g->weights, g->nweights, g->cap_weights, v);
    return v;
}

Value *
graph_state(Graph *g, const char *name, Type type, SrcLoc loc)
{
    Value *v = value_new(g, VALUE_STATE, name, type, loc);
    VEC_PUSH(g->arena, g->states, g->nstates, g->cap_states, v);
    return v;
}

Value *
graph_number(Graph *g, double number)
{
    Value *v = value_new(g, VALUE_NUMBER, NULL, (Type){.dtype = DTYPE_f32}, (SrcLoc){0});
    v->number = number;
    v->name = number_text(g->arena, number);
    return v;
}

Value *
graph_find(const Graph *g, const char *name)
{
    return names_find(g->names, name, strlen(name));
}

void
graph_rename(Graph *g, Value *v, const char *name)
{
    if (v->kind == VALUE_NUMBER)
        die("rename of the number %s", v->name);
    names_remove(g->names, v);
    names_give_back(g->names, v->name);
    v->name = names_fresh(g->names, name);
    names_add(g->names, v);
}

void
graph_output(Graph *g, Value *v)
{
    v->uses++;
    VEC_PUSH(g->arena, g->outputs, g->noutputs, g->cap_outputs, v);
}

/* ---- nodes -------------------------------------------------------------------------------- */

bool
node_makes_param(const Node *node)
{
    for (int i = 0; i < node->nin; i++)
        if (node->in[i] && !node->in[i]->is_param)
            return false;
    return true;
}

/* Puts an unlinked node before `before`, or at the end. */
static void
link_before(Graph *g, Node *node, Node *before)
{
    node->next = before;
    node->prev = before ? before->prev : g->last;
    *(node->prev ? &node->prev->next : &g->first) = node;
    *(before ? &before->prev : &g->last) = node;
}

static void
unlink_node(Graph *g, Node *node)
{
    *(node->prev ? &node->prev->next : &g->first) = node->next;
    *(node->next ? &node->next->prev : &g->last) = node->prev;
    node->prev = node->next = NULL;
}

static void
add_results(Graph *g, Node *node, const ShapeResult *types, const char *const *names)
{
    const bool is_param = node_makes_param(node);
    node->nout = types->nout;
    for (int i = 0; i < node->nout; i++) {
        Value *v = value_new(g, VALUE_RESULT, names ? names[i] : NULL, types->out[i], node->loc);
        v->def = node;
        v->result = i;
        v->is_param = is_param;
        node->out[i] = v;
    }
}

Node *
graph_append(Graph *g, Node *before, Op op, int nin, Value *const *in, const AttrList *attrs,
             const char *const *names, SrcLoc loc, ShapeResult *why)
{
    ShapeResult own = {0};
    ShapeResult *result = why ? why : &own;
    *result = (ShapeResult){.arena = g->arena, .operand = -1};
    if (nin > IR_MAX_IN) {
        result->why = arena_printf(g->arena, "it has %d operands, more than %d", nin, IR_MAX_IN);
        return NULL;
    }
    Node *node = arena_alloc(g->arena, sizeof *node);
    node->op = op;
    node->nin = nin;
    node->loc = loc;
    for (int i = 0; i < nin; i++)
        node->in[i] = in[i];
    for (int i = 0; attrs && i < attrs->count; i++)
        attrs_set(g->arena, &node->attrs, attrs->items[i]);
    if (!node_check(node, true, result))
        return NULL;
    node->id = g->nnode_ids++;
    for (int i = 0; i < nin; i++)
        if (in[i])
            in[i]->uses++;
    add_results(g, node, result, names);
    link_before(g, node, before);
    return node;
}

Value *
graph_build(Graph *g, Node *before, Op op, int nin, Value *const *in, const AttrList *attrs,
            const char *name, SrcLoc loc)
{
    ShapeResult why;
    const Node *node = graph_append(g, before, op, nin, in, attrs, name ? &name : NULL, loc, &why);
    if (!node)
        die("building %s: %s", op_info[op].name, why.why);
    if (node->nout != 1)
        die("building %s: %d results", op_info[op].name, node->nout);
    return node->out[0];
}

void
graph_set_operand(Graph *g, Node *node, int slot, Value *v)
{
    (void)g;
    if (slot < 0 || slot >= node->nin)
        die("operand %d of %s", slot, op_info[node->op].name);
    if (v)
        v->uses++;
    if (node->in[slot])
        node->in[slot]->uses--;
    node->in[slot] = v;
    const bool is_param = node_makes_param(node);
    for (int i = 0; i < node->nout; i++)
        node->out[i]->is_param = is_param;
}

void
graph_set_state_dtype(Value *state, Dtype dtype)
{
    if (state->kind != VALUE_STATE)
        die("graph_set_state_dtype: %s is no state", state->name);
    state->type.dtype = dtype;
}

void
graph_set_attr(Graph *g, Node *node, Attr attr)
{
    attrs_set(g->arena, &node->attrs, attr);
}

static void
take_name(Graph *g, Value *from, Value *to)
{
    if (from->kind != VALUE_RESULT || to->kind != VALUE_RESULT || name_is_made_up(from->name) ||
        !name_is_made_up(to->name))
        return;
    const char *name = from->name;
    names_remove(g->names, from);
    names_remove(g->names, to);
    from->name = to->name;
    to->name = name;
    names_add(g->names, from);
    names_add(g->names, to);
}

void
graph_replace(Graph *g, Value *from, Value *to)
{
    if (from == to)
        return;
    for (Node *node = g->first; node; node = node->next)
        for (int i = 0; node != to->def && i < node->nin; i++)
            if (node->in[i] == from)
                graph_set_operand(g, node, i, to);
    for (int i = 0; i < g->noutputs; i++) {
        if (g->outputs[i] != from)
            continue;
        g->outputs[i] = to;
        from->uses--;
        to->uses++;
    }
    take_name(g, from, to);
}

void
graph_remove(Graph *g, Node *node)
{
    for (int i = 0; i < node->nout; i++) {
        if (node->out[i]->uses)
            die("removing %s: `%s` is still used", op_info[node->op].name, node->out[i]->name);
        names_remove(g->names, node->out[i]);
    }
    for (int i = 0; i < node->nin; i++)
        if (node->in[i])
            node->in[i]->uses--;
    if (node->kernel && node->kernel->anchor == node)
        node->kernel->anchor = NULL;
    unlink_node(g, node);
}

void
graph_move_before(Graph *g, Node *node, Node *before)
{
    if (node == before || node->next == before)
        return;
    unlink_node(g, node);
    link_before(g, node, before);
}

int
graph_node_count(const Graph *g)
{
    int count = 0;
    for (const Node *node = g->first; node; node = node->next)
        count++;
    return count;
}

/* ---- kernels ------------------------------------------------------------------------------ */

Kernel *
graph_kernel(Graph *g, const char *name)
{
    Kernel *k = arena_alloc(g->arena, sizeof *k);
    k->id = g->nkernels;
    k->name = arena_strdup(g->arena, name);
    VEC_PUSH(g->arena, g->kernels, g->nkernels, g->cap_kernels, k);
    return k;
}

/* Its nodes are one run: around the anchor, or else they are looked for. */
void
kernel_range(const Graph *g, const Kernel *k, Node **first, Node **last)
{
    Node *node = k->anchor ? k->anchor : g->first;
    while (node && node->kernel != k)
        node = node->next;
    *first = *last = node;
    while (*first && (*first)->prev && (*first)->prev->kernel == k)
        *first = (*first)->prev;
    while (*last && (*last)->next && (*last)->next->kernel == k)
        *last = (*last)->next;
}

const Value *
kernel_domain(const Graph *g, const Kernel *k)
{
    Node *first = NULL, *last = NULL;
    kernel_range(g, k, &first, &last);
    return k->anchor ? k->anchor->out[0] : last->out[0];
}

bool
kernel_rounds_results(const Graph *g, const Kernel *k)
{
    const Shape *shape = &kernel_domain(g, k)->type.shape;
    const Node *after = kernel_epilogue(g, k);
    const Shape *further = after ? &after->out[0]->type.shape : shape;
    Node *first = NULL, *last = NULL;
    bool any = false;
    kernel_range(g, k, &first, &last);
    for (const Node *n = first; n; n = n == last ? NULL : n->next)
        for (int i = 0; i < n->nout; i++) {
            const Value *v = n->out[i];
            const Shape *s = &v->type.shape;
            if (v->place.space == SPACE_NONE || !(shape_equal(s, shape) || shape_equal(s, further)))
                continue;
            if (dtype_info[v->type.dtype].bytes > 2)
                return false;
            any = true;
        }
    return any;
}

Node *
kernel_find_anchor(const Graph *g, const Kernel *k)
{
    for (Node *node = g->last; node; node = node->prev)
        if (node->kernel == k && node_anchors(node))
            return node;
    return NULL;
}

int64_t
node_taps(const Node *conv)
{
    const Shape *w = &node_operand(conv, 'W')->type.shape;
    return w->dim[w->rank == 3 ? 2 : 0].n;
}

const Node *
kernel_epilogue(const Graph *g, const Kernel *k)
{
    Node *first = NULL, *last = NULL;
    kernel_range(g, k, &first, &last);
    for (const Node *n = first; n; n = n == last ? NULL : n->next)
        if (n->kernel == k && node_in_epilogue(n))
            return n;
    return NULL;
}

bool
node_is_init(const Node *node)
{
    return node->nout && node->out[0]->is_param;
}

bool
node_is_head(const Node *node)
{
    if (!node->nout)
        return false;
    const Shape *shape = &node->out[0]->type.shape;
    return shape->rank && shape->dim[0].kind == DIM_ROWS;
}

bool
kernel_is_init(const Graph *g, const Kernel *k)
{
    Node *first, *last;
    kernel_range(g, k, &first, &last);
    return last && node_is_init(last);
}

bool
kernel_is_head(const Graph *g, const Kernel *k)
{
    Node *first, *last;
    kernel_range(g, k, &first, &last);
    return last && node_is_head(last);
}

/* ---- sweeping ----------------------------------------------------------------------------- */

/* A node that writes a state is needed even if no operand names its result. */
static bool
is_dead(const Node *node)
{
    if (op_has_state(node->op))
        return false;
    for (int i = 0; i < node->nout; i++)
        if (node->out[i]->uses)
            return false;
    return true;
}

int
graph_remove_dead(Graph *g)
{
    int gone = 0, kept = 0;
    for (Node *node = g->last, *prev; node; node = prev) {
        prev = node->prev;
        if (!is_dead(node))
            continue;
        graph_remove(g, node);
        gone++;
    }
    for (int i = 0; i < g->nweights; i++) {
        if (g->weights[i]->uses)
            g->weights[kept++] = g->weights[i];
        else
            names_remove(g->names, g->weights[i]);
    }
    gone += g->nweights - kept;
    g->nweights = kept;
    int kernels = 0; /* in the order of their first nodes, with dense ids; those without nodes go */
    for (int i = 0; i < g->nkernels; i++)
        g->kernels[i]->id = -1;
    for (Node *node = g->first; node; node = node->next) {
        if (!node->kernel || node->kernel->id >= 0)
            continue;
        node->kernel->id = kernels;
        g->kernels[kernels++] = node->kernel;
    }
    g->nkernels = kernels;
    return gone;
}
