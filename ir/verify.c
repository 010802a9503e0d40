/* ir/verify.c -- whether a graph is what its stage promises. Reports every fault, repairs none.
 *
 * The checks are one table, run in order. Structure comes first: the others index by ids and follow
 * links, so they are skipped where it is broken. What a node may look like by itself (operands,
 * attributes, types) is ir/check.c and ir/shape.c. */
#include "ir/verify.h"

#include <string.h>

#include "ir/shape.h"

enum { SHOWN_NODE_BYTES = 160 };

void
verify_fault(Verify *c, const Node *node, SrcLoc loc, const char *fmt, ...)
{
    StrBuf why = {0}, text = {0};
    va_list args;
    va_start(args, fmt);
    sb_vprintf(&why, fmt, args);
    va_end(args);
    if (node)
        node_print(&text, node);
    const bool cut = text.len > SHOWN_NODE_BYTES;
    diag_error(c->diag, loc, "%s%s%.*s%s", sb_text(&why), node ? "\n  in " : "",
               cut ? SHOWN_NODE_BYTES : (int)text.len, sb_text(&text), cut ? " ..." : "");
    sb_free(&why);
    sb_free(&text);
}

/* ---- structure ---------------------------------------------------------------------------- */

/* Gives an id its value. Each has one id of its own. */
static void
claim_id(Verify *c, Value *v)
{
    const Graph *g = c->g;
    if (v->id < 0 || v->id >= g->nvalue_ids)
        verify_fault(c, NULL, v->loc, "value `%s` has id %d of %d", v->name, v->id, g->nvalue_ids);
    else if (c->by_id[v->id] && c->by_id[v->id] != v)
        verify_fault(c, NULL, v->loc, "values `%s` and `%s` have the same id %d",
                     c->by_id[v->id]->name, v->name, v->id);
    else
        c->by_id[v->id] = v;
}

static void
claim_list(Verify *c, ValueKind kind, Value *const *values, int count)
{
    for (int i = 0; i < count; i++) {
        if (values[i]->kind != kind)
            verify_fault(c, NULL, values[i]->loc, "value `%s` is in the list of another kind",
                         values[i]->name);
        claim_id(c, values[i]);
    }
}

static void
claim_node(Verify *c, const Node *node)
{
    const Graph *g = c->g;
    if (node->id < 0 || node->id >= g->nnode_ids)
        verify_fault(c, node, node->loc, "node id %d of %d", node->id, g->nnode_ids);
    if (node->nin < 0 || node->nin > IR_MAX_IN || node->nout < 1 || node->nout > IR_MAX_OUT) {
        verify_fault(c, NULL, node->loc, "`%s` has %d operands and %d results",
                     op_info[node->op].name, node->nin, node->nout);
        return;
    }
    if ((node->prev ? node->prev->next : g->first) != node ||
        (node->next ? node->next->prev : g->last) != node)
        verify_fault(c, node, node->loc, "the links of the node list are broken");
    for (int i = 0; i < node->nout; i++) {
        Value *v = node->out[i];
        if (v->kind != VALUE_RESULT || v->def != node || v->result != i)
            verify_fault(c, node, node->loc, "`%s` does not point back to its node", v->name);
        claim_id(c, v);
    }
    for (int i = 0; i < node->nin; i++)
        if (node->in[i] && node->in[i]->kind == VALUE_NUMBER)
            claim_id(c, node->in[i]);
}

static bool
belongs(const Verify *c, const Value *v)
{
    return v->id >= 0 && v->id < c->g->nvalue_ids && c->by_id[v->id] == v;
}

static void
check_structure(Verify *c)
{
    const Graph *g = c->g;
    claim_list(c, VALUE_INPUT, g->inputs, g->ninputs);
    claim_list(c, VALUE_WEIGHT, g->weights, g->nweights);
    claim_list(c, VALUE_STATE, g->states, g->nstates);
    for (const Node *node = g->first; node; node = node->next)
        claim_node(c, node);
    for (const Node *node = g->first; node; node = node->next)
        for (int i = 0; i < node->nin; i++)
            if (node->in[i] && !belongs(c, node->in[i]))
                verify_fault(c, node, node->loc, "operand %d, `%s`, is not part of the graph",
                             i + 1, node->in[i]->name);
    for (int i = 0; i < g->noutputs; i++)
        if (!belongs(c, g->outputs[i]))
            verify_fault(c, NULL, g->outputs[i]->loc, "output `%s` is not part of the graph",
                         g->outputs[i]->name);
}

/* ---- values ------------------------------------------------------------------------------- */

static void
check_names(Verify *c)
{
    NameTable *names = names_new(c->scratch);
    for (int id = 0; id < c->g->nvalue_ids; id++) {
        Value *v = c->by_id[id];
        if (!v || v->kind == VALUE_NUMBER)
            continue;
        const Value *old = names_find(names, v->name, strlen(v->name));
        if (old) {
            verify_fault(c, NULL, v->loc, "two values are called `%s`", v->name);
            diag_also(c->diag, old->loc, "the other one is here");
        } else if (!name_is_valid(v->name, strlen(v->name))) {
            verify_fault(c, NULL, v->loc, "`%s` is no name: letters, digits, _ and dots make one",
                         v->name);
        } else {
            names_add(names, v);
        }
    }
}

/* Sizes are in range, and so is their product with T = R = 1. */
static bool
sane(const Type *type)
{
    int64_t count;
    for (int i = 0; i < type->shape.rank; i++) {
        const Dim dim = type->shape.dim[i];
        const int64_t lowest = dim.kind == DIM_CONST || dim.kind == DIM_CHOICES ? 1 : 0;
        const int64_t most = dim.kind == DIM_CHOICES ? IR_MAX_CHOICES : IR_MAX_DIM;
        if (dim.n < lowest || dim.n > most)
            return false;
    }
    return type_count(type, 1, 1, &count) && count <= INT64_MAX / 64;
}

static void
wrong_type(Verify *c, const Value *v, const char *expected)
{
    verify_fault(c, NULL, v->loc, "`%s` is %s, expected %s", v->name,
                 type_name(c->scratch, &v->type), expected);
}

static void
check_input(Verify *c, const Value *v)
{
    const InputInfo *info = value_input(v);
    if (!info)
        verify_fault(c, NULL, v->loc, "`%s` is no input of a graph; those are %s", v->name,
                     names_listed(c->scratch, input_info, INPUT_COUNT, sizeof *input_info, "and"));
    else if (!type_equal(&v->type, &info->type))
        wrong_type(
            c, v,
            arena_printf(c->scratch, "%s: %s", type_name(c->scratch, &info->type), info->doc));
}

static void
check_declarations(Verify *c)
{
    const Graph *g = c->g;
    for (int i = 0; i < g->ninputs; i++)
        check_input(c, g->inputs[i]);
    for (int i = 0; i < g->nweights; i++) {
        const Type *t = &g->weights[i]->type;
        if (!dtype_info[t->dtype].is_float || !t->shape.rank || !is_const(t) || !sane(t))
            wrong_type(c, g->weights[i],
                       "a weight of real numbers with fixed sizes below 2^57 elements");
    }
    for (int i = 0; i < g->nstates; i++) {
        const Type *t = &g->states[i]->type;
        const bool real = t->dtype == DTYPE_f32 || t->dtype == DTYPE_bf16;
        const bool rows = t->shape.rank == 2 && type_grows(t) && t->shape.dim[1].kind == DIM_CONST;
        if (!real || !t->shape.rank || !(rows || is_const(t)) || !sane(t))
            wrong_type(c, g->states[i],
                       "a state of f32 or bf16 with fixed sizes below 2^57 elements, or [S,W]");
    }
}

static void
check_outputs(Verify *c)
{
    const Graph *g = c->g;
    if (!graph_find_input(g, INPUT_ids))
        verify_fault(c, NULL, (SrcLoc){0}, "the graph has no input `%s`, the token ids",
                     input_info[INPUT_ids].name);
    if (!g->noutputs)
        verify_fault(c, NULL, (SrcLoc){0}, "the graph has no output");
    for (int i = 0; i < g->noutputs; i++) {
        const Value *v = g->outputs[i];
        const Shape *shape = &v->type.shape;
        const bool rows = shape->rank == 2 &&
                          (shape->dim[0].kind == DIM_ROWS || shape->dim[0].kind == DIM_TOKENS);
        const bool ids =
            v->kind == VALUE_RESULT && op_has_flag(v->def->op, 'T') && v->type.dtype == DTYPE_i32;
        if (v->kind != VALUE_RESULT || (v->type.dtype != DTYPE_f32 && !ids) || !rows)
            wrong_type(c, v, "f32[R,width] or f32[T,width]");
    }
    const Shape *logits = g->noutputs ? &g->outputs[0]->type.shape : NULL;
    const bool fixed = logits && logits->rank == 2 && logits->dim[1].kind == DIM_CONST;
    for (int i = 0; fixed && i < g->neos; i++)
        if (g->eos[i] < 0 || g->eos[i] >= logits->dim[1].n)
            verify_fault(c, NULL, (SrcLoc){0}, "eos has the id %d, expected 0 to %lld", g->eos[i],
                         (long long)logits->dim[1].n - 1);
}

static void
check_header(Verify *c)
{
    const Graph *g = c->g;
    const struct {
        const char *name;
        int64_t n, most;
    } numbers[] = {
        {"block",        g->block,        INT32_MAX},
        {"rows",         g->rows,         INT32_MAX},
        {"slab_bytes",   g->slab_bytes,   INT64_MAX},
        {"param_bytes",  g->param_bytes,  INT64_MAX},
        {"state_bytes",  g->state_bytes,  INT64_MAX},
        {"output_bytes", g->output_bytes, INT64_MAX},
        {"kept_bytes",   g->kept_bytes,   INT64_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (numbers[i].n < 0 || numbers[i].n > numbers[i].most)
            verify_fault(c, NULL, (SrcLoc){0}, "%s is %lld, expected 0 to %lld", numbers[i].name,
                         (long long)numbers[i].n, (long long)numbers[i].most);
}

/* ---- nodes -------------------------------------------------------------------------------- */

static void
check_types(Verify *c, const Node *node)
{
    ShapeResult r = {.arena = c->scratch, .operand = -1};
    if (!node_check(node, true, &r)) {
        verify_fault(c, node, node->loc, "`%s`: %s", op_info[node->op].name, r.why);
        return;
    }
    if (r.nout != node->nout) {
        verify_fault(c, node, node->loc, "it has %d results, but its op makes %d", node->nout,
                     r.nout);
        return;
    }
    for (int i = 0; i < r.nout; i++) {
        if (type_equal(&r.out[i], &node->out[i]->type) && sane(&r.out[i]))
            continue;
        verify_fault(c, node, node->loc, "`%s` does not have the type its op makes, %s",
                     node->out[i]->name, type_name(c->scratch, &r.out[i]));
    }
}

static void
check_nodes(Verify *c)
{
    bool *made = arena_array(c->scratch, (size_t)c->g->nvalue_ids, sizeof *made);
    for (const Node *node = c->g->first; node; node = node->next) {
        if (!op_in_stage(node->op, c->g->stage))
            verify_fault(c, node, node->loc, "`%s` is not an op of stage %s",
                         op_info[node->op].name, stage_name[c->g->stage]);
        for (int i = 0; i < node->nin; i++) {
            const Value *v = node->in[i];
            if (v && v->kind == VALUE_RESULT && !made[v->id])
                verify_fault(c, node, node->loc, "`%s` is used before it is made", v->name);
        }
        for (int i = 0; i < node->nout; i++)
            made[node->out[i]->id] = true;
        check_types(c, node);
        const bool is_param = node_makes_param(node);
        for (int i = 0; i < node->nout; i++)
            if (node->out[i]->is_param != is_param)
                verify_fault(c, node, node->loc, "`%s` is%s marked as made from weights only",
                             node->out[i]->name, is_param ? " not" : "");
    }
}

/* ---- uses --------------------------------------------------------------------------------- */

static void
check_uses(Verify *c)
{
    const Graph *g = c->g;
    int *uses = arena_array(c->scratch, (size_t)g->nvalue_ids, sizeof *uses);
    int *reads = arena_array(c->scratch, (size_t)g->nvalue_ids, sizeof *reads); /* by flag R */
    for (const Node *node = g->first; node; node = node->next)
        for (int i = 0; i < node->nin; i++)
            if (node->in[i]) {
                uses[node->in[i]->id]++;
                reads[node->in[i]->id] += op_has_flag(node->op, 'R');
            }
    for (int i = 0; i < g->nstates; i++) {
        const int id = g->states[i]->id, owners = uses[id] - reads[id];
        if (owners != 1)
            verify_fault(c, NULL, g->states[i]->loc,
                         "state `%s` is used by %d ops, expected exactly one", g->states[i]->name,
                         owners);
    }
    for (int i = 0; i < g->noutputs; i++)
        uses[g->outputs[i]->id]++;
    for (int id = 0; id < g->nvalue_ids; id++) {
        const Value *v = c->by_id[id];
        if (v && v->uses != uses[id])
            verify_fault(c, NULL, v->loc, "`%s` counts %d uses, but has %d", v->name, v->uses,
                         uses[id]);
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

bool
graph_verify(const Graph *g, Diag *diag)
{
    static void (*const checks[])(Verify *) = {
        check_names, check_header, check_declarations, check_outputs,
        check_nodes, check_uses,   verify_kernels,     verify_places,
    };
    Arena *scratch = arena_new();
    Verify c = {.g = g, .diag = diag, .scratch = scratch};
    const int before = diag_errors(diag);
    c.by_id = arena_array(scratch, (size_t)g->nvalue_ids, sizeof *c.by_id);
    check_structure(&c);
    const bool sound = diag_errors(diag) == before;
    for (size_t i = 0; sound && i < COUNT_OF(checks); i++)
        checks[i](&c);
    arena_free(scratch);
    return diag_errors(diag) == before;
}
