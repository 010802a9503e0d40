/* passes/fuse.c -- nodes are grouped into kernels.
 *
 * Requires: a LOWERED graph.
 * Ensures: every node that is no view belongs to exactly one kernel. Kernels are runs of
 *   consecutive nodes, each after what makes its inputs; those of parameters come first. A kernel
 *   has at most one anchor (node_anchors), except that the ops of one lowered ssd are one kernel.
 * Does not change: nodes, operands, what any node computes.
 *
 * Algorithm: pointwise parameters with several readers among parameters are made anew for each.
 * Then one walk in order; groups of nodes are merged by union-find. A group's order says when it
 * runs; its need is the latest order among what it reads (a view needs the whole group).
 *
 *   pointwise         joins, as epilogue, the group that makes its latest operand, if that group's
 *                     values have its shape and all else it reads is made before that group; but
 *                     what comes between a recurrence and a row-wise node is left to the latter.
 *                     A recurrence always takes a cast of its result to fewer bytes; of a lowered
 *                     ssd that is all it takes
 *   row-wise, layout  take the pointwise group that makes their input as prologue
 *   recurrence        on a GPU takes the pointwise groups that make a number for each of its heads,
 *                     which threads of a head make anew: a step dt
 *   flag S            joins the groups of its S operands
 *   flag J            joins the group of its class that makes its first operand, if there is one
 *   flag E            joins, as epilogue, the projection on a matrix unit that makes its x, if
 *                     nothing else reads that and it is all the group has; on a GPU the
 *                     projection of which it reads some columns, if its tiles have room for it
 *                     where sequences have several tokens; pointwise nodes of its columns can then
 *                     follow it
 *   others            begin a group, as do pointwise nodes that cannot join
 *
 * A pointwise group whose values only the joining node reads is absorbed: no other node reads it,
 * so it may move. A value that others read too becomes an output of the kernel. No step makes a
 * cycle: a group that others have read keeps its order, and takes in only what needs no later one.
 *
 *   t1: f32[T,512] = silu(z)
 *   t2: f32[T,512] = mul(y, t1)
 *   u: f32[T,512] = rmsnorm(t2) {eps=1e-05}
 * becomes
 *   kernel gate_norm {
 *     t1: f32[T,512] = silu(z)
 *     t2: f32[T,512] = mul(y, t1)
 *     u: f32[T,512] = rmsnorm(t2) {eps=1e-05}
 *   }
 */
#include <string.h>

#include "passes/internal.h"

typedef struct {
    int parent; /* union-find */
    Node *anchor;
    const Shape *shape; /* of the values its pointwise nodes make */
    bool is_param;
    bool read;    /* a node of another group reads it */
    int order;    /* even; when it runs */
    int need;     /* what it reads is there once this order is done; odd: through a view */
    int external; /* uses of its values outside it */
} Group;

typedef struct {
    Graph *g;
    PassCtx *cx;
    Group *groups;
    int ngroups;
    int *group_of; /* by node id */
    int clock;
} Fuse;

/* ---- groups ----------------------------------------------------------------------------- */

static int
fuse_find(Fuse *f, int group)
{
    while (f->groups[group].parent != group) {
        f->groups[group].parent = f->groups[f->groups[group].parent].parent;
        group = f->groups[group].parent;
    }
    return group;
}

static int
fuse_now(Fuse *f)
{
    return f->clock += 2;
}

static int
fuse_new(Fuse *f, Node *n, const Shape *shape)
{
    const int group = f->ngroups++;
    f->groups[group] = (Group){.parent = group,
                               .anchor = node_class(n) == CLASS_POINTWISE ? NULL : n,
                               .shape = shape,
                               .is_param = n->out[0]->is_param,
                               .order = fuse_now(f),
                               .need = -1};
    return group;
}

static int
larger(int a, int b)
{
    return a > b ? a : b;
}

static void
fuse_merge(Fuse *f, int into, int from)
{
    Group *to = &f->groups[into], *gone = &f->groups[from];
    gone->parent = into;
    to->external += gone->external;
    to->need = larger(to->need, gone->need);
    to->read = to->read || gone->read;
}

/* The group whose run makes what v addresses (-1: none does), and whether v is that value itself
 * and no view of it. */
static int
fuse_source(Fuse *f, Value *v, bool *direct)
{
    Value *root = v ? view_root(v) : NULL;
    *direct = root == v;
    if (!root || root->kind != VALUE_RESULT)
        return -1;
    return fuse_find(f, f->group_of[root->def->id]);
}

static int
fuse_direct_reads(Fuse *f, const Node *n, int group)
{
    int reads = 0;
    for (int i = 0; i < n->nin; i++) {
        bool direct = false;
        reads += fuse_source(f, n->in[i], &direct) == group && direct;
    }
    return reads;
}

/* Puts n in a group whose other nodes and operands are settled. */
static void
fuse_add(Fuse *f, int group, Node *n)
{
    Group *to = &f->groups[group];
    f->group_of[n->id] = group;
    to->external -= fuse_direct_reads(f, n, group);
    for (int i = 0; i < n->nout; i++)
        to->external += n->out[i]->uses;
    for (int i = 0; i < n->nin; i++) {
        bool direct = false;
        const int source = fuse_source(f, n->in[i], &direct);
        if (source < 0 || source == group)
            continue;
        f->groups[source].read = true;
        to->need = larger(to->need, f->groups[source].order + !direct);
    }
}

/* ---- who joins whom --------------------------------------------------------------------- */

/* A pointwise group of this shape whose values only n reads. */
static bool
fuse_absorbable(Fuse *f, int group, const Node *n, const Shape *shape)
{
    const Group *from = &f->groups[group];
    return !from->anchor && from->is_param == n->out[0]->is_param &&
           shape_equal(from->shape, shape) && from->external == fuse_direct_reads(f, n, group);
}

/* Whether n and the pointwise nodes after it are what a norm or a quantise will read: its prologue.
 */
static bool
fuse_is_of_rows(const Node *n)
{
    while (n && node_class(n) == CLASS_POINTWISE)
        n = sole_reader(n->out[0]);
    return n && node_class(n) == CLASS_ROWWISE;
}

static bool
fuse_takes_epilogue(const Group *group, const Node *n)
{
    const Node *anchor = group->anchor;
    if (!anchor)
        return true;
    const bool narrowed = node_is_recurrence(anchor) && node_narrows(n) && n->in[0]->def == anchor;
    switch (node_class(anchor)) {
    case CLASS_ROWWISE:
    case CLASS_CONV:
    case CLASS_GATHER:
    case CLASS_ATTEND:
        return true;
    case CLASS_CONTRACT:
        return narrowed || !node_flag(anchor, 'S');
    case CLASS_RECURRENT:
        return narrowed || (!node_flag(anchor, 'S') && !fuse_is_of_rows(n));
    case CLASS_POINTWISE:
    case CLASS_VIEW:
    case CLASS_LAYOUT:
        return false;
    }
    die("class %d of %s", (int)node_class(anchor), op_info[anchor->op].name);
}

/* The group of n's latest operand, if n can be its epilogue; -1: it cannot. */
static int
fuse_target(Fuse *f, const Node *n)
{
    const Shape *shape = &n->out[0]->type.shape;
    int latest = -1, target = -1;
    for (int i = 0; i < n->nin; i++) {
        bool direct = false;
        const int source = fuse_source(f, n->in[i], &direct);
        if (source < 0)
            continue;
        const Group *from = &f->groups[source];
        const bool absorbed = direct && fuse_absorbable(f, source, n, shape);
        latest = larger(latest, absorbed ? from->need : from->order + !direct);
        if (!absorbed && direct && (target < 0 || from->order > f->groups[target].order))
            target = source;
    }
    if (target < 0)
        return -1;
    const Group *to = &f->groups[target];
    const bool fits =
        to->order == latest && to->is_param == n->out[0]->is_param && shape_equal(to->shape, shape);
    return fits && fuse_takes_epilogue(to, n) ? target : -1;
}

static void
fuse_pointwise(Fuse *f, Node *n)
{
    const Shape *shape = &n->out[0]->type.shape;
    int target = fuse_target(f, n);
    if (target < 0)
        target = fuse_new(f, n, shape);
    for (int i = 0; i < n->nin; i++) {
        bool direct = false;
        const int source = fuse_source(f, n->in[i], &direct);
        if (source >= 0 && source != target && direct && fuse_absorbable(f, source, n, shape))
            fuse_merge(f, target, source);
    }
    fuse_add(f, target, n);
}

/* An anchor that computes its first operand as it reads it. */
static void
fuse_with_prologue(Fuse *f, Node *n)
{
    bool direct = false;
    const int group = fuse_new(f, n, &n->out[0]->type.shape);
    const int source = fuse_source(f, n->in[0], &direct);
    if (source >= 0 && direct && fuse_absorbable(f, source, n, &n->in[0]->type.shape))
        fuse_merge(f, group, source);
    fuse_add(f, group, n);
}

/* Of ops of rows norms are joined, of those of layout what makes whole numbers and their scales,
 * also where some were joined to them before. */
static bool
fuse_joins(const Node *anchor)
{
    if (node_flag(anchor, 'J'))
        return true;
    return node_class(anchor) == CLASS_ROWWISE ? op_slot(anchor->op, 'W') >= 0 : anchor->nout > 1;
}

/* The group of n's class that makes its first operand and can take n in; -1: there is none. */
static int
fuse_joined(Fuse *f, const Node *n)
{
    bool direct = false;
    const int source = node_flag(n, 'J') ? fuse_source(f, n->in[0], &direct) : -1;
    if (source < 0 || !direct)
        return -1;
    const Group *to = &f->groups[source];
    const bool alike = to->anchor && node_class(to->anchor) == node_class(n) &&
                       fuse_joins(to->anchor) && (!node_flag(to->anchor, 'J') || to->is_param);
    return alike && to->is_param == n->out[0]->is_param ? source : -1;
}

static void
fuse_row_or_layout(Fuse *f, Node *n)
{
    const int joined = fuse_joined(f, n);
    if (joined < 0) {
        fuse_with_prologue(f, n);
        return;
    }
    fuse_add(f, joined, n);
    f->groups[joined].anchor = n;
}

/* Whether the group is a projection on the matrix unit and nothing more. */
static bool
fuse_is_unit(const Fuse *f, const Group *group, const Node *n)
{
    const Node *anchor = group->anchor;
    if (!anchor || anchor->out[0] != n->in[0] || !node_is_packed(anchor))
        return false;
    const PanelWeight weight = panel_weight(anchor, node_weight(anchor)->type.dtype);
    return panel_unit(f->cx->machine, &weight);
}

/* Whether the group is a GPU's projection, and nothing more, of which n reads some columns: of runs
 * as they are kept, if its tiles have room for what n reads. */
static bool
fuse_has_columns(const Fuse *f, const Group *group, const Node *n)
{
    const Node *anchor = group->anchor;
    const bool made = anchor && anchor->op == OP_linear &&
                      before_kept(f->g, node_operand(n, 'x')) == anchor->out[0];
    return f->cx->machine->gpu.kind != GPU_none && made && conv_has_room(f->cx, f->g, n, anchor) &&
           group->shape == &anchor->out[0]->type.shape && attrs_find(&n->attrs, ATTR_column) &&
           type_width(&n->out[0]->type) < type_width(&anchor->out[0]->type);
}

/* Whether n takes what the group makes as it is made, so that nobody else needs it. */
static bool
fuse_has_all(Fuse *f, int target, const Node *n)
{
    const Group *group = &f->groups[target];
    return fuse_is_unit(f, group, n) && group->external == fuse_direct_reads(f, n, target) &&
           shape_equal(group->shape, &n->out[0]->type.shape);
}

/* The projection in whose epilogue n can run; -1: there is none. */
static int
fuse_projection(Fuse *f, const Node *n)
{
    bool direct = false;
    const int target = node_flag(n, 'E') ? fuse_source(f, node_operand(n, 'x'), &direct) : -1;
    if (target < 0 || !direct ||
        !(fuse_has_all(f, target, n) || fuse_has_columns(f, &f->groups[target], n)))
        return -1;
    for (int i = 1; i < n->nin; i++) {
        const int source = fuse_source(f, n->in[i], &direct);
        if (source >= 0 && !f->groups[source].is_param)
            return -1;
    }
    return target;
}

static void
fuse_conv(Fuse *f, Node *n)
{
    const Shape *shape = &n->out[0]->type.shape;
    const int target = fuse_projection(f, n);
    if (target >= 0)
        f->groups[target].shape = shape;
    fuse_add(f, target < 0 ? fuse_new(f, n, shape) : target, n);
}

/* A GPU's kernels of single tokens are as short as a launch: what makes a number a head is made by
 * every thread that reads it. */
static void
fuse_recurrence(Fuse *f, Node *n)
{
    const int group = fuse_new(f, n, &n->out[0]->type.shape);
    const int64_t heads = node_int(n, ATTR_heads, 0);
    for (int i = 0; i < n->nin && f->cx->machine->gpu.kind != GPU_none; i++) {
        bool direct = false;
        const int source = fuse_source(f, n->in[i], &direct);
        if (source >= 0 && source != group && direct && type_width(&n->in[i]->type) == heads &&
            fuse_absorbable(f, source, n, &n->in[i]->type.shape))
            fuse_merge(f, group, source);
    }
    fuse_add(f, group, n);
}

/* The ops of one lowered ssd: none of them may be read by another kernel before all have been met,
 * or occur twice. */
static void
fuse_ssd(Fuse *f, Node *n)
{
    const int group = fuse_new(f, n, &n->out[0]->type.shape);
    for (int i = 0; i < n->nin; i++) {
        bool direct = false;
        const int source = fuse_source(f, n->in[i], &direct);
        if (source < 0 || source == group || !direct || !node_flag(n->in[i]->def, 'S'))
            continue;
        const Group *from = &f->groups[source];
        if (from->read || from->anchor->op == n->op) {
            diag_error(
                f->cx->diag, n->loc,
                "the ops of a lowered ssd are one kernel: `%s` is read by another kernel, or by "
                "a second %s, before the group is complete",
                n->in[i]->name, op_info[n->op].name);
            return;
        }
        fuse_merge(f, group, source);
    }
    fuse_add(f, group, n);
}

static void
fuse_node(Fuse *f, Node *n)
{
    if (node_flag(n, 'S')) {
        fuse_ssd(f, n);
        return;
    }
    switch (node_class(n)) {
    case CLASS_POINTWISE:
        fuse_pointwise(f, n);
        return;
    case CLASS_ROWWISE:
    case CLASS_LAYOUT:
        fuse_row_or_layout(f, n);
        return;
    case CLASS_CONV:
        fuse_conv(f, n);
        return;
    case CLASS_RECURRENT:
        fuse_recurrence(f, n);
        return;
    case CLASS_CONTRACT:
    case CLASS_ATTEND:
    case CLASS_GATHER:
        fuse_add(f, fuse_new(f, n, &n->out[0]->type.shape), n);
        return;
    case CLASS_VIEW:
        return;
    }
}

/* ---- kernels in a row ------------------------------------------------------------------- */

/* Nodes by the group whose run they follow: its own nodes, then the views of its values. Within
 * one, the old order holds. */
typedef struct {
    Node **nodes;
    int *start; /* of group i; [ngroups] views of no group's values; [ngroups + 1] the end */
} Buckets;

static int
fuse_bucket(Fuse *f, Node *n)
{
    bool direct = false;
    const int group = node_class(n) == CLASS_VIEW ? fuse_source(f, n->in[0], &direct)
                                                  : fuse_find(f, f->group_of[n->id]);
    return group < 0 ? f->ngroups : group;
}

static Buckets
fuse_buckets(Fuse *f)
{
    const size_t count = (size_t)f->ngroups + 2;
    Buckets b = {.start = arena_array(f->cx->arena, count + 1, sizeof *b.start)};
    b.nodes = arena_array(f->cx->arena, (size_t)f->g->nnode_ids + 1, sizeof(Node *));
    int *next = arena_array(f->cx->arena, count, sizeof *next);
    for (Node *n = f->g->first; n; n = n->next)
        b.start[fuse_bucket(f, n) + 1]++;
    for (size_t i = 1; i < count; i++)
        b.start[i] += b.start[i - 1];
    memcpy(next, b.start, count * sizeof *next);
    for (Node *n = f->g->first; n; n = n->next)
        b.nodes[next[fuse_bucket(f, n)]++] = n;
    return b;
}

/* Moves a bucket to the end of the graph: its kernel, then its views. */
static void
fuse_place(Fuse *f, const Buckets *b, int bucket)
{
    Node **nodes = b->nodes + b->start[bucket];
    const int count = b->start[bucket + 1] - b->start[bucket];
    Node **own = arena_array(f->cx->arena, (size_t)count + 1, sizeof(Node *));
    int nown = 0;
    for (int i = 0; i < count; i++)
        if (node_class(nodes[i]) != CLASS_VIEW)
            own[nown++] = nodes[i];
    Kernel *k = NULL;
    if (nown > 0) {
        Node *anchor = f->groups[bucket].anchor;
        k = graph_kernel(f->g, fuse_name(f->g, own, nown, anchor));
        k->anchor = anchor;
        fuse_explain(f->cx, k->name, own, nown);
    }
    for (int i = 0; i < nown; i++) {
        own[i]->kernel = k;
        graph_move_before(f->g, own[i], NULL);
    }
    for (int i = 0; i < count; i++)
        if (node_class(nodes[i]) == CLASS_VIEW)
            graph_move_before(f->g, nodes[i], NULL);
}

/* Groups by order, those of parameters first. */
static void
fuse_arrange(Fuse *f)
{
    const size_t orders = (size_t)f->clock / 2 + 1;
    int *at_order = arena_array(f->cx->arena, orders, sizeof *at_order);
    const Buckets buckets = fuse_buckets(f);
    for (int i = 0; i < f->ngroups; i++)
        if (f->groups[i].parent == i)
            at_order[f->groups[i].order / 2] = i + 1;
    for (size_t i = 0; i < orders; i++)
        if (at_order[i] && f->groups[at_order[i] - 1].is_param)
            fuse_place(f, &buckets, at_order[i] - 1);
    fuse_place(f, &buckets, f->ngroups); /* views of inputs */
    for (size_t i = 0; i < orders; i++)
        if (at_order[i] && !f->groups[at_order[i] - 1].is_param)
            fuse_place(f, &buckets, at_order[i] - 1);
}

/* ---- parameters that several kernels make from -------------------------------------------- */

static void
fuse_clone(Graph *g, Node *reader, int slot)
{
    const Node *n = reader->in[slot]->def;
    Value *again = graph_build(g, reader, n->op, n->nin, n->in, &n->attrs, NULL, n->loc);
    graph_set_operand(g, reader, slot, again);
}

/* Pointwise parameters (a weight times a norm's) are computed by each parameter that reads them:
 * kept for several, they would be a second copy of the weight for as long as the model is open. */
static void
fuse_remake_params(Graph *g)
{
    for (Node *reader = g->last; reader; reader = reader->prev)
        for (int i = 0; i < reader->nin && reader->out[0]->is_param; i++) {
            const Value *v = reader->in[i];
            const bool made = v && v->kind == VALUE_RESULT && node_class(v->def) == CLASS_POINTWISE;
            if (made && v->uses > 1)
                fuse_clone(g, reader, i);
        }
}

bool
pass_fuse(Graph *g, PassCtx *cx)
{
    if (g->nkernels > 0)
        return false; /* the text had its kernels already */
    const int errors = diag_errors(cx->diag);
    Fuse f = {.g = g, .cx = cx};
    fuse_remake_params(g);
    f.groups = arena_array(cx->arena, (size_t)g->nnode_ids + 1, sizeof *f.groups);
    f.group_of = arena_array(cx->arena, (size_t)g->nnode_ids + 1, sizeof *f.group_of);
    for (Node *n = g->first; n && diag_errors(cx->diag) == errors; n = n->next)
        fuse_node(&f, n);
    if (diag_errors(cx->diag) == errors)
        fuse_arrange(&f);
    return true;
}
