/* ir/copy.c -- a graph again, in an arena of its own; nothing is shared but source positions. */
#include "ir/internal.h"

typedef struct {
    Graph *to;
    Value **values;   /* by id of the old value; NULL: not copied yet */
    Kernel **kernels; /* by id of the old kernel */
} Copy;

/* A number is copied when its first user is: no list of the graph holds it. */
static Value *
copy_value(Copy *c, const Value *from)
{
    if (!from)
        return NULL;
    if (c->values[from->id])
        return c->values[from->id];
    Value *v = arena_alloc(c->to->arena, sizeof *v);
    *v = *from;
    v->name = arena_strdup(c->to->arena, from->name);
    v->tensor = arena_strdup(c->to->arena, from->tensor);
    v->init = arena_strdup(c->to->arena, from->init);
    if (v->kind != VALUE_NUMBER)
        names_add(c->to->names, v);
    c->values[from->id] = v;
    return v;
}

static Value **
copy_list(Copy *c, Value *const *from, int count)
{
    Value **list = arena_array(c->to->arena, (size_t)count, sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = copy_value(c, from[i]);
    return list;
}

static void
copy_attrs(Copy *c, AttrList *to, const AttrList *from)
{
    *to = (AttrList){0};
    for (int i = 0; i < from->count; i++)
        attrs_set(c->to->arena, to, from->items[i]);
}

static void
copy_node(Copy *c, const Node *from)
{
    Graph *g = c->to;
    Node *node = arena_alloc(g->arena, sizeof *node);
    *node = *from;
    copy_attrs(c, &node->attrs, &from->attrs);
    for (int i = 0; i < node->nin; i++)
        node->in[i] = copy_value(c, from->in[i]);
    for (int i = 0; i < node->nout; i++) {
        node->out[i] = copy_value(c, from->out[i]);
        node->out[i]->def = node;
    }
    node->kernel = from->kernel ? c->kernels[from->kernel->id] : NULL;
    if (from->kernel && from->kernel->anchor == from)
        node->kernel->anchor = node;
    node->next = NULL;
    node->prev = g->last;
    *(g->last ? &g->last->next : &g->first) = node;
    g->last = node;
}

static void
copy_kernels(Copy *c, const Graph *from)
{
    c->kernels = arena_array(c->to->arena, (size_t)from->nkernels, sizeof(Kernel *));
    for (int i = 0; i < from->nkernels; i++) {
        const Kernel *old = from->kernels[i];
        if (old->id != i)
            die("kernel %s is number %d, not %d", old->name, i, old->id);
        Kernel *k = arena_alloc(c->to->arena, sizeof *k);
        *k = (Kernel){.id = i, .name = arena_strdup(c->to->arena, old->name)};
        copy_attrs(c, &k->attrs, &old->attrs);
        c->kernels[i] = k;
    }
    c->to->kernels = c->kernels;
    c->to->cap_kernels = from->nkernels;
}

Graph *
graph_copy(Arena *arena, const Graph *from)
{
    Graph *g = arena_alloc(arena, sizeof *g);
    *g = *from;
    g->arena = arena;
    g->names = names_new(arena);
    Copy c = {.to = g};
    c.values = arena_array(arena, (size_t)from->nvalue_ids, sizeof(Value *));
    g->name = arena_strdup(arena, from->name);
    g->weights_path = arena_strdup(arena, from->weights_path);
    g->tokenizer_path = arena_strdup(arena, from->tokenizer_path);
    int32_t *eos = arena_array(arena, (size_t)from->neos, sizeof *eos);
    for (int i = 0; i < from->neos; i++)
        eos[i] = from->eos[i];
    g->eos = eos;
    g->numerics = arena_strdup(arena, from->numerics);
    g->first = g->last = NULL;
    copy_kernels(&c, from);
    g->inputs = copy_list(&c, from->inputs, from->ninputs);
    g->weights = copy_list(&c, from->weights, from->nweights);
    g->states = copy_list(&c, from->states, from->nstates);
    for (const Node *node = from->first; node; node = node->next)
        copy_node(&c, node);
    g->outputs = copy_list(&c, from->outputs, from->noutputs);
    g->cap_inputs = g->ninputs;
    g->cap_weights = g->nweights;
    g->cap_states = g->nstates;
    g->cap_outputs = g->noutputs;
    return g;
}
