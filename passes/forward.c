/* passes/forward.c -- what took a value's place, for passes that walk a graph once from first to
 * last. graph_replace looks through the whole graph; here every node is given its operands as it is
 * reached. */
#include "passes/internal.h"

Forward
forward_new(Graph *g, Arena *arena)
{
    return (Forward){.g = g, .arena = arena};
}

static Value *
forward_of(const Forward *f, Value *v)
{
    while (v && v->id < f->cap && f->to[v->id])
        v = f->to[v->id];
    return v;
}

bool
forward_done(const Forward *f, const Value *v)
{
    return v->id < f->cap && f->to[v->id];
}

void
forward_put(Forward *f, Value *from, Value *to)
{
    if (f->g->nvalue_ids > f->cap) {
        const size_t old_cap = (size_t)f->cap, cap = (size_t)f->g->nvalue_ids * 2;
        f->to = arena_grow(f->arena, f->to, old_cap, cap, sizeof(Value *));
        for (size_t i = old_cap; i < cap; i++)
            f->to[i] = NULL;
        f->cap = (int)cap;
    }
    f->to[from->id] = to;
    const bool results = from->kind == VALUE_RESULT && to->kind == VALUE_RESULT;
    if (!results || name_is_made_up(from->name) || !name_is_made_up(to->name))
        return;
    const char *name = from->name;
    graph_rename(f->g, from, NULL);
    graph_rename(f->g, to, name);
}

void
forward_operands(const Forward *f, Node *n)
{
    for (int i = 0; i < n->nin; i++) {
        Value *now = forward_of(f, n->in[i]);
        if (now != n->in[i])
            graph_set_operand(f->g, n, i, now);
    }
}

void
forward_outputs(const Forward *f)
{
    for (int i = 0; i < f->g->noutputs; i++)
        graph_replace(f->g, f->g->outputs[i], forward_of(f, f->g->outputs[i]));
}
