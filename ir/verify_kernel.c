/* ir/verify_kernel.c -- stage KERNEL: groups of nodes, and the memory plan once there is one. */
#include <limits.h>

#include "ir/verify.h"

/* What is known of a kernel while its nodes go by. */
typedef struct {
    bool seen;
    const Node *first;
    Node *anchor;
    int anchors; /* nodes that are not pointwise */
    int others;  /* of them outside the S group, and not joined to one of their class (flag J): such
                    a node reads first what the kernel makes */
    int epilogues; /* nodes that are neither pointwise nor anchors */
    bool in_group[OP_COUNT];
} Run;

static bool
listed(const Graph *g, const Kernel *k)
{
    return k->id >= 0 && k->id < g->nkernels && g->kernels[k->id] == k;
}

/* ---- groups ------------------------------------------------------------------------------- */

/* A node whose kernel is not the one of the node before it. */
static void
begin_run(Verify *c, const Node *node, Run *run, int *runs)
{
    const Kernel *k = node->kernel;
    if (run->seen) {
        verify_fault(c, node, node->loc, "kernel `%s` is not one run of consecutive nodes",
                     k->name);
        return;
    }
    run->seen = true;
    run->first = node;
    if (k->id != *runs)
        verify_fault(c, node, node->loc, "kernel `%s` is number %d in the list, but %d in order",
                     k->name, k->id, *runs);
    (*runs)++;
}

static void
add_to_run(Verify *c, Node *node, Run *run)
{
    if (node->out[0]->is_param != run->first->out[0]->is_param)
        verify_fault(c, node, node->loc,
                     "kernel `%s` makes parameters, run once, as well as activations",
                     node->kernel->name);
    if (!node_anchors(node)) {
        run->epilogues += op_info[node->op].cls != CLASS_POINTWISE;
        if (run->epilogues > 1)
            verify_fault(c, node, node->loc, "kernel `%s` has a second op in its epilogue: `%s`",
                         node->kernel->name, op_info[node->op].name);
        return;
    }
    const bool grouped = op_has_flag(node->op, 'S');
    const bool joined = op_has_flag(node->op, 'J') && run->anchor &&
                        op_info[run->anchor->op].cls == op_info[node->op].cls && node->in[0] &&
                        node->in[0]->def && node->in[0]->def->kernel == node->kernel;
    run->anchor = node;
    run->anchors += !joined;
    run->others += !grouped && !joined;
    if (grouped && run->in_group[node->op])
        verify_fault(c, node, node->loc, "kernel `%s` has a second `%s`", node->kernel->name,
                     op_info[node->op].name);
    run->in_group[node->op] = true;
    if (run->anchors > 1 && run->others)
        verify_fault(c, node, node->loc,
                     "kernel `%s` has %d ops that are not pointwise, expected at most one",
                     node->kernel->name, run->anchors);
}

static void
check_kernel(Verify *c, const Kernel *k, const Run *run)
{
    if (!run->seen) {
        verify_fault(c, NULL, (SrcLoc){0}, "kernel `%s` has no nodes", k->name);
        return;
    }
    if (k->anchor != run->anchor)
        verify_fault(c, run->first, run->first->loc,
                     "the anchor of kernel `%s` is `%s`, expected `%s`", k->name,
                     k->anchor ? op_info[k->anchor->op].name : "none",
                     run->anchor ? op_info[run->anchor->op].name : "none");
    for (int i = 0; i < k->attrs.count; i++) {
        const Attr *attr = &k->attrs.items[i];
        const char *why = "kernels have dot, unit, tile, part, pieces, product and small only";
        const bool ok = kernel_has_attr(attr->id) && attr_check(c->scratch, attr, &why);
        if (!ok)
            verify_fault(c, run->first, run->first->loc, "kernel `%s`: attribute `%s`: %s", k->name,
                         attr_info[attr->id].name, why);
    }
}

/* Whether the node is, or rightly is not, in a kernel of the graph. */
static bool
check_membership(Verify *c, const Node *node)
{
    const bool is_view = op_info[node->op].cls == CLASS_VIEW;
    const bool wants = c->g->stage == STAGE_KERNEL && !is_view;
    if (wants != (node->kernel != NULL)) {
        const char *why = wants     ? "it is in no kernel"
                          : is_view ? "a view makes no code, but it is in a kernel"
                                    : "it is in a kernel before stage kernel";
        verify_fault(c, node, node->loc, "`%s`: %s", op_info[node->op].name, why);
        return false;
    }
    if (!node->kernel || listed(c->g, node->kernel))
        return wants;
    verify_fault(c, node, node->loc, "kernel `%s` is not in the list of the graph",
                 node->kernel->name);
    return false;
}

void
verify_kernels(Verify *c)
{
    const Graph *g = c->g;
    Run *runs = arena_array(c->scratch, (size_t)g->nkernels, sizeof *runs);
    const Kernel *open = NULL;
    int count = 0;
    for (Node *node = g->first; node; node = node->next) {
        const bool member = check_membership(c, node);
        if (member) {
            Run *run = &runs[node->kernel->id];
            if (node->kernel != open)
                begin_run(c, node, run, &count);
            add_to_run(c, node, run);
        }
        open = member ? node->kernel : NULL;
    }
    for (int i = 0; i < g->nkernels; i++) {
        if (listed(g, g->kernels[i]))
            check_kernel(c, g->kernels[i], &runs[i]);
        else
            verify_fault(c, NULL, (SrcLoc){0}, "kernel `%s` is number %d in the list, but says %d",
                         g->kernels[i]->name, i, g->kernels[i]->id);
    }
}

/* ---- places ------------------------------------------------------------------------------- */

/* Marks results that other kernels, views or the caller read. */
static bool *
mark_crossing(Verify *c)
{
    const Graph *g = c->g;
    bool *crosses = arena_array(c->scratch, (size_t)g->nvalue_ids, sizeof *crosses);
    for (const Node *node = g->first; node; node = node->next)
        for (int i = 0; i < node->nin; i++) {
            const Value *v = node->in[i];
            if (v && v->def && (v->def->kernel != node->kernel || !node->kernel))
                crosses[v->id] = true;
        }
    for (int i = 0; i < g->noutputs; i++)
        crosses[g->outputs[i]->id] = true;
    return crosses;
}

/* Bytes from a value's place to its end at T = block, R = rows. False: more than 63 bits. */
static bool
extent(const Graph *g, const Value *v, int64_t *out)
{
    const Shape *shape = &v->type.shape;
    int64_t count;
    if (!type_count(&v->type, g->block, g->rows, &count))
        return false;
    if (shape->rank == 2 && shape->dim[1].kind == DIM_CONST) {
        const int64_t width = type_width(&v->type), rows = count / width;
        if (v->place.stride < width || !size_mul(rows - 1, v->place.stride, &count) ||
            !size_add(count, width, &count))
            return false;
    }
    return size_mul(count, dtype_info[v->type.dtype].bytes, &count) &&
           size_add(count, v->place.offset, out);
}

static void
check_place(Verify *c, const Value *v)
{
    const Graph *g = c->g;
    /* Results live in three of the spaces only. */
    const int64_t sizes[SPACE_COUNT] = {
        [SPACE_SLAB] = g->slab_bytes,
        [SPACE_PARAM] = g->param_bytes,
        [SPACE_OUTPUT] = g->output_bytes,
    };
    const Place *place = &v->place;
    int64_t end;
    if (node_gives_state(v->def) || place->space == SPACE_KEPT) {
        const Value *state = node_operand(v->def, 's');
        if (!state || state->place.space != place->space || state->place.offset != place->offset ||
            state->place.stride != place->stride)
            verify_fault(c, v->def, v->loc, "`%s` does not lie where its state does", v->name);
        return;
    }
    if (place->offset < 0 || place->offset % dtype_info[v->type.dtype].bytes || place->stride < 0) {
        verify_fault(c, v->def, v->loc, "`%s` is placed at byte %lld with stride %lld", v->name,
                     (long long)place->offset, (long long)place->stride);
        return;
    }
    if (v->is_param != (place->space == SPACE_PARAM))
        verify_fault(c, v->def, v->loc, "`%s` is in space %s, but is %s", v->name,
                     space_name[place->space], v->is_param ? "a parameter" : "not a parameter");
    if (!extent(g, v, &end) || end > sizes[place->space])
        verify_fault(c, v->def, v->loc,
                     "`%s` reaches beyond the %lld bytes of space %s, or its rows "
                     "overlap",
                     v->name, (long long)sizes[place->space], space_name[place->space]);
}

/* ---- what is alive together ---------------------------------------------------------------- */

/* Bytes of a space, from the kernel that makes a value to the last one that reads it or a view of
 * it. Kernels are counted in the order they run. */
typedef struct {
    const Value *value;
    int64_t from, to;
    int first, last;
} Life;

static const Value *
viewed(const Value *v)
{
    while (v->kind == VALUE_RESULT && op_info[v->def->op].cls == CLASS_VIEW)
        v = v->def->in[0];
    return v;
}

/* By id of the value. Parameters and what the caller reads live to the end. */
static Life *
lives_of(Verify *c)
{
    const Graph *g = c->g;
    Life *lives = arena_array(c->scratch, (size_t)g->nvalue_ids + 1, sizeof *lives);
    const Kernel *open = NULL;
    int turn = 0;
    for (const Node *node = g->first; node; node = node->next) {
        if (!node->kernel)
            continue;
        turn += node->kernel != open;
        open = node->kernel;
        for (int i = 0; i < node->nin; i++)
            if (node->in[i] && lives[viewed(node->in[i])->id].last < turn)
                lives[viewed(node->in[i])->id].last = turn;
        for (int i = 0; i < node->nout; i++) {
            const Value *v = node->out[i];
            lives[v->id] = (Life){.value = v, .first = turn, .last = v->is_param ? INT_MAX : turn};
        }
    }
    for (int i = 0; i < g->noutputs; i++)
        lives[viewed(g->outputs[i])->id].last = INT_MAX;
    return lives;
}

static void
report_overlap(Verify *c, const Life *a, const Life *b)
{
    const Value *v = a->value, *other = b->value;
    StrBuf text = {0};
    verify_fault(c, v->def, v->loc,
                 "`%s` is placed over `%s`, which is still needed: bytes %lld to %lld and %lld to "
                 "%lld of space %s",
                 v->name, other->name, (long long)a->from, (long long)a->to, (long long)b->from,
                 (long long)b->to, space_name[v->place.space]);
    node_print(&text, other->def);
    diag_also(c->diag, other->loc, "`%s` is made by\n  %s", other->name, sb_text(&text));
    sb_free(&text);
}

/* Code takes values in different places for different memory, and a kernel may be at any row of
 * what it reads while it writes: no value lies in bytes of another that is alive, what a kernel
 * reads for the last time among them. */
static void
check_overlaps(Verify *c)
{
    const Graph *g = c->g;
    Life *lives = lives_of(c), **alive[SPACE_COUNT] = {0};
    int count[SPACE_COUNT] = {0}, cap[SPACE_COUNT] = {0};
    for (const Node *node = g->first; node; node = node->next)
        for (int i = 0; i < node->nout && node->kernel; i++) {
            Life *a = &lives[node->out[i]->id];
            const Space in = a->value->place.space;
            a->from = a->value->place.offset;
            if (in == SPACE_NONE || in == SPACE_KEPT || !extent(g, a->value, &a->to))
                continue;
            const Life *over = NULL;
            int kept = 0;
            for (int k = 0; k < count[in]; k++) {
                Life *b = alive[in][k];
                if (b->last < a->first)
                    continue;
                alive[in][kept++] = b;
                if (a->from < b->to && b->from < a->to)
                    over = b;
            }
            count[in] = kept;
            VEC_PUSH(c->scratch, alive[in], count[in], cap[in], a);
            if (over)
                report_overlap(c, a, over);
        }
}

/* Results of a view lie in its operand, one after the other. */
static void
check_view(Verify *c, const Node *node)
{
    const Value *whole = node->in[0];
    int64_t at = whole->place.offset;
    if (whole->kind != VALUE_RESULT || whole->place.space == SPACE_NONE)
        return;
    for (int i = 0; i < node->nout; i++) {
        const Value *v = node->out[i];
        if (v->place.space != whole->place.space || v->place.offset != at ||
            v->place.stride != whole->place.stride)
            verify_fault(c, node, v->loc, "`%s` is a piece of `%s`: expected @%s+%lld/%lld",
                         v->name, whole->name, space_name[whole->place.space], (long long)at,
                         (long long)whole->place.stride);
        at += type_width(&v->type) * dtype_info[v->type.dtype].bytes;
    }
}

void
verify_places(Verify *c)
{
    const Graph *g = c->g;
    bool planned = false;
    for (const Node *node = g->first; node; node = node->next)
        for (int i = 0; i < node->nout; i++)
            planned = planned || node->out[i]->place.space != SPACE_NONE;
    if (!planned)
        return;
    if (g->stage != STAGE_KERNEL || g->block < 1 || g->rows < 1) {
        verify_fault(c, NULL, (SrcLoc){0},
                     "values have places, but the graph is in stage %s with block %lld, rows %lld",
                     stage_name[g->stage], (long long)g->block, (long long)g->rows);
        return;
    }
    const bool *crosses = mark_crossing(c);
    for (int id = 0; id < g->nvalue_ids; id++) {
        const Value *v = c->by_id[id];
        if (!v || v->kind != VALUE_RESULT)
            continue;
        if (v->place.space != SPACE_NONE)
            check_place(c, v);
        else if (crosses[id])
            verify_fault(c, v->def, v->loc, "`%s` leaves its kernel, but has no place", v->name);
    }
    for (const Node *node = g->first; node; node = node->next)
        if (op_info[node->op].cls == CLASS_VIEW)
            check_view(c, node);
    check_overlaps(c);
}
