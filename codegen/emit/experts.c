/* codegen/emit/experts.c -- projections whose rows have experts: which rows and panels of which
 * experts a part has.
 *
 * A thread sorts the numbers of all rows by expert before its first part of the kernel, in its
 * scratch, where its later parts find them:
 *
 *     count the rows of each expert; from where on its rows will stand; put each row there
 *
 * The work of an expert is its panels times the tiles that its rows fill. Parts divide the sum of
 * all: a panel belongs to the part that its first tile falls into. So each expert is one product
 * over its rows, of an expert without rows nothing is read, and where every expert has few rows, as
 * in decode, parts share the panels of those that have any. */
#include "codegen/emit/linear.h"

typedef struct {
    CgPacked *p;
    int64_t experts;
    Val at;   /* scratch, i32 [experts + 1]: where the rows of each begin in `list`, their end */
    Val list; /* scratch, i32: rows by expert */
    Val held; /* scratch, i32: 1 + the expert whose rows of x are staged, 0: none */
    Val from; /* of all the work, what this part has */
    Val to;
} Experts;

static Val
index_at(Cg *c, Val base, Val index)
{
    return cg_at(c, base, DTYPE_i32, index);
}

static void
set_index(Cg *c, Val base, Val index, Val value)
{
    LLVMBuildStore(c->b, LLVMBuildTrunc(c->b, value, c->i32, ""), index_at(c, base, index));
}

/* ---- rows by expert ------------------------------------------------------------------------ */

/* One more at at[index]; what it was before. */
static Val
count_up(Cg *c, Val base, Val index)
{
    const Val old = cg_load_index(c, base, index);
    set_index(c, base, index, cg_add(c, old, cg_i64(c, 1)));
    return old;
}

/* Stores where rows of experts begin, one place further on: putting rows there moves each to its
 * end, which is where the next one's rows begin. */
static void
sort_rows(Cg *c, const Experts *x)
{
    const CgLinear *l = &x->p->l;
    const Val zero = cg_i64(c, 0), one = cg_i64(c, 1), experts = cg_i64(c, x->experts);
    const Val rows = cg_rows(c, l->k, l->y), chosen = cg_operand(l->k, l->e)->base;
    const Val ends = index_at(c, x->at, one), sum = cg_var(c, c->i64, zero, "sum");
    CgLoop clear = cg_loop(c, "clear", zero, cg_add(c, experts, one), 1);
    set_index(c, x->at, clear.i, zero);
    cg_loop_end(c, &clear);
    CgLoop count = cg_loop(c, "count", zero, rows, 1);
    (void)count_up(c, ends, cg_load_index(c, chosen, count.i));
    cg_loop_end(c, &count);
    CgLoop begin = cg_loop(c, "begin", zero, experts, 1);
    const Val before = cg_get(c, c->i64, sum);
    cg_set(c, sum, cg_add(c, before, cg_load_index(c, ends, begin.i)));
    set_index(c, ends, begin.i, before);
    cg_loop_end(c, &begin);
    CgLoop put = cg_loop(c, "put", zero, rows, 1);
    const Val place = count_up(c, ends, cg_load_index(c, chosen, put.i));
    set_index(c, x->list, place, put.i);
    cg_loop_end(c, &put);
}

/* ---- shares -------------------------------------------------------------------------------- */

static Val
tiles_of(Cg *c, const Experts *x, Val expert)
{
    const Val begin = cg_load_index(c, x->at, expert);
    const Val end = cg_load_index(c, x->at, cg_add(c, expert, cg_i64(c, 1)));
    return cg_div_up(c, cg_sub(c, end, begin), cg_i64(c, x->p->heights[0]));
}

/* What this part has of the work of all experts. */
static void
share_work(Cg *c, Experts *x)
{
    const CgKernel *k = x->p->l.k;
    const Val all = cg_var(c, c->i64, cg_i64(c, 0), "work");
    CgLoop e = cg_loop(c, "work", cg_i64(c, 0), cg_i64(c, x->experts), 1);
    cg_set(c, all, cg_add(c, cg_get(c, c->i64, all), tiles_of(c, x, e.i)));
    cg_loop_end(c, &e);
    Val share[2];
    const Val work = cg_mul(c, cg_get(c, c->i64, all), cg_i64(c, x->p->panels));
    cg_share_of(c, work, 1, k->part, k->parts, share);
    x->from = share[0];
    x->to = share[1];
}

/* The first panel of an expert whose work begins at `first` that begins at `bound` or after. */
static Val
panel_from(Cg *c, const Experts *x, Val first, Val tiles, Val bound)
{
    const Val behind = cg_max(c, cg_i64(c, 0), cg_sub(c, bound, first));
    return cg_min(c, cg_i64(c, x->p->panels), cg_div_up(c, behind, tiles));
}

/* ---- the loop ------------------------------------------------------------------------------ */

static void
walk_expert(Cg *c, const Experts *x, Val expert, const Val panels[2],
            void (*walk)(Cg *c, CgPacked *p, const CgGrid *share))
{
    CgLinear *l = &x->p->l;
    const Val zero = cg_i64(c, 0), mark = cg_add(c, expert, cg_i64(c, 1));
    const Val begin = cg_load_index(c, x->at, expert), end = cg_load_index(c, x->at, mark);
    const Val held = cg_load_index(c, x->held, zero);
    const CgGrid share = {
        {zero, cg_sub(c, end, begin)},
        {panels[0], panels[1]},
        LLVMBuildICmp(c->b, LLVMIntEQ, held, mark, "")
    };
    l->list = index_at(c, x->list, begin);
    l->expert = expert;
    walk(c, x->p, &share);
    set_index(c, x->held, zero, mark);
}

static void
walk_experts(Cg *c, Experts *x, void (*walk)(Cg *c, CgPacked *p, const CgGrid *share))
{
    const Val done = cg_var(c, c->i64, cg_i64(c, 0), "done"), zero = cg_i64(c, 0);
    CgLoop e = cg_loop(c, "expert", zero, cg_i64(c, x->experts), 1);
    const Val tiles = tiles_of(c, x, e.i), first = cg_get(c, c->i64, done);
    cg_set(c, done, cg_add(c, first, cg_mul(c, tiles, cg_i64(c, x->p->panels))));
    CgIf any = cg_if(c, cg_less(c, zero, tiles));
    const Val panels[] = {panel_from(c, x, first, tiles, x->from),
                          panel_from(c, x, first, tiles, x->to)};
    CgIf some = cg_if(c, cg_less(c, panels[0], panels[1]));
    walk_expert(c, x, e.i, panels, walk);
    cg_endif(c, &some);
    cg_endif(c, &any);
    cg_loop_end(c, &e);
}

void
cg_packed_each(Cg *c, CgPacked *p, void (*walk)(Cg *c, CgPacked *p, const CgGrid *share))
{
    const CgKernel *k = p->l.k;
    if (!p->l.e) {
        const CgGrid share = cg_packed_share(c, p);
        walk(c, p, &share);
        return;
    }
    const int64_t size = dtype_info[DTYPE_i32].bytes, choices = type_choices(&p->l.y->type);
    Experts x = {.p = p, .experts = node_experts(k->kernel->anchor)};
    x.at = cg_scratch(c, p->l.k, (x.experts + 1) * size);
    x.list = cg_scratch(c, p->l.k, k->graph->block * choices * size);
    x.held = cg_scratch(c, p->l.k, size);
    CgIf begin = cg_if(c, LLVMBuildNot(c->b, cg_ran_before(c, k), ""));
    sort_rows(c, &x);
    set_index(c, x.held, cg_i64(c, 0), cg_i64(c, 0));
    cg_endif(c, &begin);
    share_work(c, &x);
    walk_experts(c, &x, walk);
}
