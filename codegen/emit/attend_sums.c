/* codegen/emit/attend_sums.c -- attention of single tokens, whose past threads divide, and what
 * joins what they made of it.
 *
 * Source: Dao et al., "Flash-Decoding for long-context inference" (2023).
 *
 *     sums:  for each token, each stretch of its past, each group of heads:
 *                O, m, l of the stretch's steps (emit_attention.c)
 *     join:  for each token and head: those of the stretches are added up in their order,
 *                m' = max(m, m_i), l = 2^(m - m') l + 2^(m_i - m') l_i, O the same
 *            y = O / l
 *
 * How long stretches are depends on nothing but the token's position. The sums of the first are in
 * the token's row, those of the others in rows after the last token's: there are as many rows as a
 * pass has at most. A token whose stretches find no such rows is not divided: a thread adds up its
 * stretches, one after the other, by the same sums. So a result depends neither on how many threads
 * there are nor on what other sequences the pass has.
 *
 * In a stretch a step goes through all groups of the thread: what it reads lies together. Keys and
 * values are asked for a group ahead: what one head has of 64 tokens is a piece of memory of its
 * own, which a CPU's prefetchers find late. */
#include "codegen/emit/attend.h"

/* ---- the stretches of tokens --------------------------------------------------------------------
 */

/* A token's past, from its first step on. */
typedef struct {
    Val row;         /* in the pass */
    Val begin, end;  /* positions */
    Val steps, each; /* steps of all stretches, and of one but the last */
    Val stretches;
    Val divided; /* i1: by threads */
    Val more;    /* row of the second stretch */
} Token;

static Token
token_of(Cg *c, int64_t window, Val row, Val position)
{
    const Val one = cg_i64(c, 1), step = cg_i64(c, TILE_ATTEND_STEP);
    Token t = {.row = row, .begin = cg_i64(c, 0), .end = cg_add(c, position, one)};
    if (window > 0) {
        const Val first = cg_max(c, t.begin, cg_sub(c, t.end, cg_i64(c, window)));
        t.begin = cg_mul(c, cg_div(c, first, step), step);
    }
    t.steps = cg_div_up(c, cg_sub(c, t.end, t.begin), step);
    t.each = cg_max(c, cg_div_up(c, t.steps, cg_i64(c, TILE_ATTEND_STRETCHES)),
                    cg_i64(c, TILE_ATTEND_STRETCH));
    t.stretches = cg_div_up(c, t.steps, t.each);
    return t;
}

/* Loops over all tokens of a pass, in order. */
typedef struct {
    CgLoop segment, token;
    CgSeg seg;
    Val next; /* variable: the first row that no stretch has */
    Token at;
} Tokens;

static Tokens
tokens_begin(Cg *c, CgKernel *k, int64_t window)
{
    Tokens t = {.next = cg_var(c, c->i64, k->tokens, "next")};
    t.segment = cg_loop(c, "segment", cg_i64(c, 0), cg_call_field(c, k, CALL_nseg), 1);
    t.seg = cg_segment(c, k, t.segment.i);
    t.token = cg_loop(c, "token", cg_i64(c, 0), t.seg.len, 1);
    t.at = token_of(c, window, cg_add(c, t.seg.row, t.token.i), cg_add(c, t.seg.past, t.token.i));
    t.at.more = cg_get(c, c->i64, t.next);
    const Val end = cg_add(c, t.at.more, cg_sub(c, t.at.stretches, cg_i64(c, 1)));
    t.at.divided = LLVMBuildICmp(c->b, LLVMIntSLE, end, cg_i64(c, k->graph->block), "");
    cg_set(c, t.next, LLVMBuildSelect(c->b, t.at.divided, end, t.at.more, ""));
    return t;
}

static void
tokens_end(Cg *c, Tokens *t)
{
    cg_loop_end(c, &t->token);
    cg_loop_end(c, &t->segment);
}

/* ---- sums of a head ------------------------------------------------------------------------- */

/* Addresses. */
typedef struct {
    Val o, m, l;
} Sums;

/* Those of a head in a row [O of all heads, m of all heads, l of all heads]. */
static Sums
row_sums(Cg *c, const CgOperand *rows, Val row, int64_t heads, int64_t channels, Val head)
{
    const Val at = cg_element(c, rows->base, DTYPE_f32, row, rows->stride, cg_i64(c, 0));
    const Val first = cg_add(c, cg_i64(c, heads * channels), head);
    return (Sums){attend_f32(c, at, cg_mul(c, head, cg_i64(c, channels))), attend_f32(c, at, first),
                  attend_f32(c, at, cg_add(c, first, cg_i64(c, heads)))};
}

static Val
number(Cg *c, Val at)
{
    return cg_vload(c, at, DTYPE_f32, 1, NULL);
}

static Val
columns_at(Cg *c, Val base, const CgSite *at)
{
    return cg_vload(c, attend_f32(c, base, at->col), DTYPE_f32, at->lanes, at->mask);
}

static void
sums_copy(Cg *c, int64_t channels, const Sums *to, const Sums *from)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, channels);
    cg_vstore(c, to->m, DTYPE_f32, number(c, from->m), 1, NULL);
    cg_vstore(c, to->l, DTYPE_f32, number(c, from->l), 1, NULL);
    for (CgColumns s = cg_columns(c, zero, zero, end, c->lanes); cg_columns_next(c, &s);)
        cg_vstore(c, attend_f32(c, to->o, s.at.col), DTYPE_f32, columns_at(c, from->o, &s.at),
                  s.at.lanes, s.at.mask);
}

/* x by its factor and y by its own, which are whole vectors. */
static Val
weighed(Cg *c, Val x, Val x_factor, Val y, Val y_factor)
{
    const int lanes = cg_lanes_of(x);
    return cg_fma(c, x, cg_slice(c, x_factor, 0, lanes),
                  cg_fmul(c, y, cg_slice(c, y_factor, 0, lanes)));
}

static void
sums_add(Cg *c, int64_t channels, const Sums *to, const Sums *from)
{
    const Val zero = cg_i64(c, 0), end = cg_i64(c, channels);
    const Val old = number(c, to->m), more = number(c, from->m), now = cg_vmax(c, old, more);
    /* A whole vector takes less time than a number. */
    const Val keep = cg_exp2(c, cg_splat(c, cg_fsub(c, old, now), c->lanes));
    const Val add = cg_exp2(c, cg_splat(c, cg_fsub(c, more, now), c->lanes));
    const Val l = weighed(c, number(c, to->l), keep, number(c, from->l), add);
    cg_vstore(c, to->m, DTYPE_f32, now, 1, NULL);
    cg_vstore(c, to->l, DTYPE_f32, l, 1, NULL);
    for (CgColumns s = cg_columns(c, zero, zero, end, c->lanes); cg_columns_next(c, &s);)
        cg_vstore(c, attend_f32(c, to->o, s.at.col), DTYPE_f32,
                  weighed(c, columns_at(c, to->o, &s.at), keep, columns_at(c, from->o, &s.at), add),
                  s.at.lanes, s.at.mask);
}

/* ---- a stretch ------------------------------------------------------------------------------ */

/* Groups [groups[0], groups[1]) of positions [from, end), into a row. */
typedef struct {
    Val groups[2], from, end;
    Val row;
    Val adds; /* i1: to what is there */
} Stretch;

/* The group's rows of scratch into the stretch's row. */
static void
put(Cg *c, const Attend *a, const Stretch *p)
{
    const CgOperand *rows = cg_operand(a->k, a->y);
    CgLoop row = cg_loop(c, "put", cg_i64(c, 0), cg_i64(c, a->together), 1);
    const Val head = cg_add(c, cg_mul(c, a->group, cg_i64(c, a->together)), row.i);
    const Sums to = row_sums(c, rows, p->row, a->heads, a->value_dim, head);
    const Sums from = {attend_f32(c, a->o, cg_mul(c, row.i, cg_i64(c, a->o_stride))),
                       attend_f32(c, a->total, cg_i64(c, 1)), a->total};
    const Val most = a->on_unit ? attend_unit_most(c, a, row.i) : attend_one(c, a->most, row.i);
    cg_vstore(c, from.l, DTYPE_f32, attend_sum(c, a, row.i), 1, NULL);
    cg_vstore(c, from.m, DTYPE_f32, most, 1, NULL);
    CgIf adds = cg_if(c, p->adds);
    sums_add(c, a->value_dim, &to, &from);
    cg_else(c, &adds);
    sums_copy(c, a->value_dim, &to, &from);
    cg_endif(c, &adds);
    cg_loop_end(c, &row);
}

/* The matrix unit takes one group after the other. */
static void
stretch_on_unit(Cg *c, Attend *a, const Stretch *p)
{
    CgLoop group = cg_loop(c, "group", p->groups[0], p->groups[1], 1);
    a->group = group.i;
    attend_queries(c, a);
    attend_clear(c, a);
    attend_unit_walk(c, a, p->from, p->end);
    put(c, a, p);
    cg_loop_end(c, &group);
}

/* What a step reads of a group, and what it asks for: the next group's, or the next step's first
 * group's. */
static AttendRead
read_of(Cg *c, const Attend *a, const Stretch *p, const CgOperand *kept, Val base)
{
    const Node *keep = kept->value->def;
    const Val row = cg_kept_row(c, a->k, keep, a->at);
    const Val below = cg_kept_row(c, a->k, keep, cg_add(c, a->at, cg_i64(c, a->step)));
    const Val after = cg_add(c, a->group, cg_i64(c, 1)), more = cg_less(c, after, p->groups[1]);
    Attend next = *a;
    next.group = LLVMBuildSelect(c->b, more, after, p->groups[0], "");
    const Val next_row = LLVMBuildSelect(c->b, more, row, below, "");
    return (AttendRead){attend_rows(c, a, kept, base, row),
                        attend_rows(c, &next, kept, base, next_row)};
}

static void
stretch_steps(Cg *c, const Attend *a, const Stretch *p)
{
    CgLoop past = cg_loop(c, "past", p->from, p->end, a->step);
    CgLoop group = cg_loop(c, "group", p->groups[0], p->groups[1], 1);
    Attend own = attend_set(c, a, group.i);
    own.group = group.i;
    own.at = past.i;
    const AttendRead keys = read_of(c, &own, p, a->keys, a->keys_at);
    const AttendRead values = read_of(c, &own, p, a->values, a->values_at);
    attend_step(c, &own, &keys, &values);
    cg_loop_end(c, &group);
    cg_loop_end(c, &past);
}

static void
stretch_on_vectors(Cg *c, const Attend *a, const Stretch *p)
{
    attend_clear(c, a);
    for (int end = 0; end < 2; end++) {
        CgLoop group = cg_loop(c, "group", p->groups[0], p->groups[1], 1);
        Attend own = attend_set(c, a, group.i);
        own.group = group.i;
        if (end)
            put(c, &own, p);
        else
            attend_queries(c, &own);
        cg_loop_end(c, &group);
        if (!end)
            stretch_steps(c, a, p);
    }
}

/* ---- what a thread has to do ---------------------------------------------------------------- */

/* Work is counted in steps of a group: items are a stretch's groups, or, of a token that threads
 * do not divide, the groups of all stretches. A thread has those that begin in its share. */
typedef struct {
    Val from, to; /* the share */
    Val before;   /* variable: work of the items before */
} Work;

static Work
work_begin(Cg *c, const Attend *a)
{
    const Val total = cg_var(c, c->i64, cg_i64(c, 0), "total");
    Tokens t = tokens_begin(c, a->k, a->window);
    const Val steps = cg_mul(c, t.at.steps, cg_i64(c, a->groups));
    cg_set(c, total, cg_add(c, cg_get(c, c->i64, total), steps));
    tokens_end(c, &t);
    Work w = {.before = cg_var(c, c->i64, cg_i64(c, 0), "before")};
    cg_share(c, a->k, cg_get(c, c->i64, total), 1, &w.from, &w.to);
    return w;
}

/* The groups that begin in the share, of items of so many steps each. */
static void
work_groups(Cg *c, const Attend *a, const Work *w, Val steps, Val groups[2])
{
    const Val all = cg_i64(c, a->groups), before = cg_get(c, c->i64, w->before);
    const Val bound[] = {w->from, w->to};
    for (int i = 0; i < 2; i++) {
        const Val since = cg_max(c, cg_i64(c, 0), cg_sub(c, bound[i], before));
        groups[i] = cg_min(c, all, cg_div_up(c, since, steps));
    }
    cg_set(c, w->before, cg_add(c, before, cg_mul(c, steps, all)));
}

/* Stretches [first, end) of the token's. */
static void
token_stretches(Cg *c, Attend *a, const Token *t, Val groups[2], Val first, Val end)
{
    CgLoop stretch = cg_loop(c, "stretch", first, end, 1);
    const Val length = cg_mul(c, t->each, cg_i64(c, TILE_ATTEND_STEP)), zero = cg_i64(c, 0);
    const Val from = cg_add(c, t->begin, cg_mul(c, stretch.i, length));
    const Val later = cg_less(c, zero, stretch.i);
    const Val apart = LLVMBuildAnd(c->b, t->divided, later, "");
    const Val more = cg_add(c, t->more, cg_sub(c, stretch.i, cg_i64(c, 1)));
    const Stretch p = {
        .groups = {groups[0], groups[1]},
        .from = from,
        .end = cg_min(c, cg_add(c, from, length), t->end),
        .row = LLVMBuildSelect(c->b, apart, more, t->row, ""),
        .adds = LLVMBuildAnd(c->b, later, LLVMBuildNot(c->b, t->divided, ""), "")
    };
    if (a->on_unit)
        stretch_on_unit(c, a, &p);
    else
        stretch_on_vectors(c, a, &p);
    cg_loop_end(c, &stretch);
}

static void
token_items(Cg *c, Attend *a, const Work *w, const Tokens *t)
{
    const Val one = cg_i64(c, 1);
    const Token *at = &t->at;
    a->seg = t->seg;
    a->first = t->token.i;
    a->count = one;
    a->nrows = cg_i64(c, a->together);
    a->keys_at = cg_kept_at(c, a->k, a->keys, a->seg.slot);
    a->values_at = cg_kept_at(c, a->k, a->values, a->seg.slot);
    CgLoop item = cg_loop(c, "item", cg_i64(c, 0),
                          LLVMBuildSelect(c->b, at->divided, at->stretches, one, ""), 1);
    const Val left = cg_sub(c, at->steps, cg_mul(c, item.i, at->each));
    const Val steps = LLVMBuildSelect(c->b, at->divided, cg_min(c, at->each, left), at->steps, "");
    Val groups[2];
    work_groups(c, a, w, steps, groups);
    CgIf some = cg_if(c, cg_less(c, groups[0], groups[1]));
    const Val next = cg_add(c, item.i, one);
    token_stretches(c, a, at, groups, item.i,
                    LLVMBuildSelect(c->b, at->divided, next, at->stretches, ""));
    cg_endif(c, &some);
    cg_loop_end(c, &item);
}

bool
emit_attention_sums(Cg *c, CgKernel *k, Diag *diag)
{
    Attend a;
    if (!attend_open(c, k, &a, diag))
        return false;
    a.tokens = 1;
    a.total = cg_scratch(c, k, 8);
    if (a.on_unit) {
        attend_unit_reserve(c, &a);
        attend_unit_begin(c);
    } else {
        attend_step_reserve(c, &a, a.together, a.groups);
    }
    const Work w = work_begin(c, &a);
    Tokens t = tokens_begin(c, k, a.window);
    token_items(c, &a, &w, &t);
    tokens_end(c, &t);
    if (a.on_unit)
        attend_unit_end(c);
    return true;
}

/* ---- join ----------------------------------------------------------------------------------- */

/* y of a head, whose sums are in scratch. */
static void
put_head(Cg *c, CgKernel *k, const Token *t, const Sums *sums, Val head)
{
    const Node *n = k->kernel->anchor;
    const Val width = cg_i64(c, node_value_dim(n)), from = cg_mul(c, head, width);
    const Val l = number(c, sums->l), share = cg_fdiv(c, cg_like(c, l, 1), l);
    const Val end = cg_add(c, from, width);
    for (CgColumns s = cg_columns(c, t->row, from, end, c->lanes); cg_columns_next(c, &s);) {
        const Val at = attend_f32(c, sums->o, cg_sub(c, s.at.col, from));
        const Val o = cg_vload(c, at, DTYPE_f32, s.at.lanes, s.at.mask);
        cg_unbind_all(k);
        cg_bind(k, n->out[0], cg_fmul(c, o, cg_splat(c, share, s.at.lanes)));
        cg_store_outputs(c, k, &s.at);
    }
}

bool
emit_attention_join(Cg *c, CgKernel *k, Diag *diag)
{
    const Node *n = k->kernel->anchor;
    const CgOperand *rows = cg_operand(k, n->in[0]);
    const int64_t heads = node_int(n, ATTR_heads, 1), width = node_value_dim(n);
    const Val zero = cg_i64(c, 0), all = cg_i64(c, heads);
    const Sums sums = {cg_scratch(c, k, width * 4), cg_scratch(c, k, 4), cg_scratch(c, k, 4)};
    Val from, to;
    (void)diag;
    cg_share(c, k, cg_mul(c, k->tokens, all), 1, &from, &to);
    Tokens t = tokens_begin(c, k, node_int(n, ATTR_window, 0));
    const Val before = cg_mul(c, t.at.row, all);
    CgLoop head = cg_loop(c, "head", cg_max(c, zero, cg_sub(c, from, before)),
                          cg_min(c, all, cg_sub(c, to, before)), 1);
    const Sums first = row_sums(c, rows, t.at.row, heads, width, head.i);
    sums_copy(c, width, &sums, &first);
    const Val others = cg_sub(c, t.at.stretches, cg_i64(c, 1));
    CgLoop other =
        cg_loop(c, "other", zero, LLVMBuildSelect(c->b, t.at.divided, others, zero, ""), 1);
    const Sums more = row_sums(c, rows, cg_add(c, t.at.more, other.i), heads, width, head.i);
    sums_add(c, width, &sums, &more);
    cg_loop_end(c, &other);
    put_head(c, k, &t.at, &sums, head.i);
    cg_loop_end(c, &head);
    tokens_end(c, &t);
    return true;
}
