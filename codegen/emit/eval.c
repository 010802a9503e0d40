/* codegen/emit/eval.c -- values of a kernel at a site: loads with broadcasting, pointwise programs,
 * stores.
 *
 * Every value is f32 in registers. A `cast` rounds to what its type can hold and stays f32, so that
 * fused code computes what separate kernels would. */
#include "codegen/emit/cg.h"

/* ---- binding ------------------------------------------------------------------------------ */

void
cg_kernel_values(Cg *c, CgKernel *k)
{
    const size_t values = (size_t)k->graph->nvalue_ids + 1;
    k->bound = arena_array(c->arena, values, sizeof *k->bound);
    k->memo = arena_array(c->arena, values, sizeof *k->memo);
    k->binds = arena_array(c->arena, values, sizeof *k->binds);
    k->remembered = arena_array(c->arena, values, sizeof *k->remembered);
}

/* A kernel knows a handful of a graph's values: what is set is listed, so that forgetting is quick.
 */

static void
forget_memo(CgKernel *k)
{
    for (int i = 0; i < k->nremembered; i++)
        k->memo[k->remembered[i]].value = NULL;
    k->nremembered = 0;
}

void
cg_bind(CgKernel *k, const Value *v, Val value)
{
    int at = 0;
    while (at < k->nbinds && k->binds[at] != v->id)
        at++;
    if (at == k->nbinds)
        k->binds[k->nbinds++] = v->id;
    k->bound[v->id] = value;
    forget_memo(k);
}

void
cg_unbind_all(CgKernel *k)
{
    for (int i = 0; i < k->nbinds; i++)
        k->bound[k->binds[i]] = NULL;
    k->nbinds = 0;
    forget_memo(k);
}

static Val
recall(Cg *c, const CgKernel *k, const Value *v, const CgSite *at)
{
    const CgMemo *m = &k->memo[v->id];
    const bool same = m->value && m->row == at->row && m->col == at->col && m->mask == at->mask &&
                      m->last == at->last && m->lanes == at->lanes &&
                      m->block == LLVMGetInsertBlock(c->b);
    return same ? m->value : NULL;
}

static Val
remember(Cg *c, CgKernel *k, const Value *v, const CgSite *at, Val value)
{
    if (!k->memo[v->id].value)
        k->remembered[k->nremembered++] = v->id;
    k->memo[v->id] = (CgMemo){.row = at->row,
                              .col = at->col,
                              .mask = at->mask,
                              .last = at->last,
                              .lanes = at->lanes,
                              .value = value,
                              .block = LLVMGetInsertBlock(c->b)};
    return value;
}

/* ---- evaluation ---------------------------------------------------------------------------- */

static Val
element_at(Cg *c, const CgOperand *o, const CgSite *at)
{
    if (o->value->type.shape.rank < 2)
        return cg_at(c, o->base, o->dtype, at->col);
    return cg_element(c, o->base, o->dtype, at->row, o->stride, at->col);
}

/* Whether a GPU reads or writes several lanes of a site by one access. */
static bool
at_once(const Cg *c, const CgOperand *o, const CgSite *at)
{
    const bool known = o->dtype == DTYPE_f32 || o->dtype == DTYPE_bf16;
    return c->on_gpu && known && !at->mask && ptx_lanes(o, at->lanes) > 1;
}

/* Lanes that are rows. */
static Val
load_down(Cg *c, const CgOperand *o, const CgSite *at)
{
    Val all = LLVMGetPoison(cg_vec_type(c, at->lanes));
    for (int i = 0; i < at->lanes; i++) {
        const CgSite one = {.row = cg_min(c, cg_add(c, at->row, cg_i64(c, i)), at->last),
                            .col = at->col};
        const Val element = cg_vload(c, element_at(c, o, &one), o->dtype, 1, NULL);
        all = LLVMBuildInsertElement(c->b, all, element, cg_i64(c, i), "");
    }
    return all;
}

/* Whether v, one column wide, is used by something of `width` columns. */
static bool
is_broadcast(const Value *v, int64_t width)
{
    return v->kind != VALUE_NUMBER && width != 1 && cg_width(v) == 1;
}

static Val eval(Cg *c, CgKernel *k, const Value *v, const CgSite *at, bool broadcast);

static Val
eval_here(Cg *c, CgKernel *k, const Value *v, const CgSite *at)
{
    const CgOperand *o = cg_operand(k, v);
    if (o && !o->is_output) {
        if (v->kind == VALUE_STATE || o->dtype == DTYPE_i32)
            die("cg_eval: %s is no matrix of numbers", v->name);
        if (at->last)
            return load_down(c, o, at);
        if (at_once(c, o, at))
            return ptx_load_row(c, o, element_at(c, o, at), at->lanes);
        return cg_vload(c, element_at(c, o, at), o->dtype, at->lanes, at->mask);
    }
    const Node *n = v->def;
    if (!n || op_info[n->op].cls != CLASS_POINTWISE || n->kernel != k->kernel)
        die("cg_eval: %s is neither pointwise in kernel %s, bound nor an operand", v->name,
            k->kernel->name);
    const int64_t width = cg_width(v);
    Val in[IR_MAX_IN];
    for (int i = 0; i < n->nin; i++)
        in[i] = eval(c, k, n->in[i], at, is_broadcast(n->in[i], width));
    return cg_pointwise(c, k, n, in);
}

/* A column stands for all: it is evaluated once, as a scalar, or once for each row. */
static Val
eval(Cg *c, CgKernel *k, const Value *v, const CgSite *at, bool broadcast)
{
    if (v->kind == VALUE_NUMBER)
        return cg_splat(c, cg_f32(c, v->number), at->lanes);
    if (k->bound[v->id])
        return k->bound[v->id];
    const Val known = recall(c, k, v, at);
    if (known)
        return known;
    if (!broadcast)
        return remember(c, k, v, at, eval_here(c, k, v, at));
    CgSite one = *at;
    one.col = cg_i64(c, 0);
    if (at->last)
        return remember(c, k, v, at, eval(c, k, v, &one, false));
    one.lanes = 1;
    one.mask = NULL;
    return remember(c, k, v, at, cg_splat(c, eval(c, k, v, &one, false), at->lanes));
}

Val
cg_eval(Cg *c, CgKernel *k, const Value *v, const CgSite *at)
{
    return eval(c, k, v, at, is_broadcast(v, cg_width(k->domain)));
}

Val
cg_eval_one(Cg *c, CgKernel *k, const Value *v, Val row, Val col)
{
    const CgSite site = {.row = row, .col = col, .lanes = 1};
    cg_unbind_all(k);
    return cg_eval(c, k, v, &site);
}

/* ---- stores -------------------------------------------------------------------------------- */

bool
cg_in_domain(const CgKernel *k, const Value *v)
{
    return shape_equal(&v->type.shape, &k->domain->type.shape);
}

bool
cg_stores(const CgKernel *k, const CgOperand *o)
{
    const OpInfo *made = o->is_output ? &op_info[o->value->def->op] : NULL;
    return made && cg_in_domain(k, o->value) && made->cls != CLASS_LAYOUT &&
           !(made->cls == CLASS_ROWWISE && op_has_flag(o->value->def->op, 'J'));
}

void
cg_store_outputs(Cg *c, CgKernel *k, const CgSite *at)
{
    Val *values = arena_array(c->arena, (size_t)k->noperands + 1, sizeof *values);
    for (int i = 0; i < k->noperands; i++) {
        const Value *v = k->operands[i].value;
        if (!cg_stores(k, &k->operands[i]))
            continue;
        /* The store rounds by itself: a cast that is only stored needs no second rounding. */
        const bool cast = v->def->op == OP_cast && !k->bound[v->id];
        values[i] = cg_eval(c, k, cast ? v->def->in[0] : v, at);
    }
    for (int i = 0; i < k->noperands; i++) {
        const CgOperand *o = &k->operands[i];
        if (values[i] && at_once(c, o, at))
            ptx_store_row(c, o, element_at(c, o, at), values[i]);
        else if (values[i])
            cg_vstore(c, element_at(c, o, at), o->dtype, values[i], at->lanes, at->mask);
    }
}

/* ---- rows and columns ----------------------------------------------------------------------- */

CgLoop
cg_share_loop(Cg *c, const CgKernel *k, const char *name, Val count, int64_t unit)
{
    Val from = NULL, to = NULL;
    cg_share(c, k, count, unit, &from, &to);
    return cg_loop(c, name, from, to, 1);
}

static bool
known_equal(Val a, Val b)
{
    return a == b || (LLVMIsAConstantInt(a) && LLVMIsAConstantInt(b) &&
                      LLVMConstIntGetSExtValue(a) == LLVMConstIntGetSExtValue(b));
}

CgColumns
cg_columns(Cg *c, Val row, Val from, Val to, int lanes)
{
    const Val step = cg_i64(c, lanes);
    const Val whole = cg_mul(c, cg_div(c, cg_sub(c, to, from), step), step);
    return (CgColumns){
        .at = {.row = row, .lanes = lanes},
          .ends = {from, cg_add(c, from, whole), to}
    };
}

bool
cg_columns_next(Cg *c, CgColumns *s)
{
    if (s->tail.exit)
        cg_endif(c, &s->tail);
    else if (s->loop.exit)
        cg_loop_end(c, &s->loop);
    while (s->built < 2) {
        const Val from = s->ends[s->built], to = s->ends[s->built + 1];
        const bool tail = s->built++ == 1;
        if (known_equal(from, to) || (tail && s->at.lanes == 1))
            continue;
        if (tail && c->masks) {
            s->tail = cg_if(c, cg_less(c, from, to));
            s->at.col = from;
            s->at.mask = cg_mask_first(c, s->at.lanes, cg_sub(c, to, from));
            return true;
        }
        s->at.lanes = tail ? 1 : s->at.lanes;
        s->loop = cg_loop(c, "col", from, to, s->at.lanes);
        s->at.col = s->loop.i;
        return true;
    }
    return false;
}
