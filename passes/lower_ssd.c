/* passes/lower_ssd.c -- ssd becomes its chosen form.
 *
 * Requires: choose_form has written form and chunk; an ssd without a form takes the recurrent one.
 * Ensures: no ssd is left; A = -exp(A_log) is a parameter, made once when weights are loaded.
 * Does not change: what y and the state are; other nodes.
 *
 * Algorithm ("Transformers are SSMs", section 6 and listing 1), for each ssd:
 *   recurrent  ssd_scan, token after token; where a call may have several of a sequence with a
 *              chunk, the tokens for which the state stays in registers, unless bits must not
 *              depend on where a call begins
 *   chunked    chunk_decay: running sums a of dt A; chunk_cb: the diagonal blocks; chunk_state:
 *              the right factors; state_pass: states between chunks; chunk_out: diagonal blocks
 *              and left factors
 *   quadratic  the same with one chunk over all tokens: chunk=all
 *
 *   y: f32[T,512] = ssd(x, dt, A_log, B, C, D, s) {heads=8, ..., form=chunked, chunk=64}
 * becomes
 *   t1: f32[8] = exp(A_log)
 *   t2: f32[8] = neg(t1)
 *   t3: f32[T,8] = chunk_decay(dt, t2) {chunk=64}
 *   t4: f32[T,1,Q64] = chunk_cb(C, B) {groups=1, state=64, chunk=64}
 *   t5: f32[ceil(T/64),8,64,64] = chunk_state(B, x, dt, t3) {heads=8, ..., chunk=64}
 *   t6: f32[ceil(T/64),8,64,64] = state_pass(t5, t3, s) {chunk=64}
 *   y: f32[T,512] = chunk_out(t4, t3, dt, x, C, t6, D) {heads=8, ..., chunk=64}
 */
#include <string.h>

#include "passes/internal.h"

enum { SSD_X, SSD_DT, SSD_A_LOG, SSD_B, SSD_C, SSD_D, SSD_STATE, SSD_OPERANDS };

/* Builds an op before the ssd, with those of the ssd's attributes that it takes. */
static Value *
lower_op(Graph *g, Node *ssd, int64_t chunk, Op op, int nin, Value *const *in)
{
    AttrList attrs = {0};
    bool required = false;
    for (int i = 0; i < ssd->attrs.count; i++)
        if (op_takes_attr(op, ssd->attrs.items[i].id, &required))
            attrs_set(g->arena, &attrs, ssd->attrs.items[i]);
    required = false;
    if (op_takes_attr(op, ATTR_chunk, &required) && (required || chunk > 0))
        attrs_set(g->arena, &attrs, attr_int(ATTR_chunk, chunk));
    else
        attrs_remove(&attrs, ATTR_chunk);
    return graph_build(g, ssd, op, nin, in, &attrs, NULL, ssd->loc);
}

/* What lets a GPU make parts of few sequences side by side, where heads alone do not fill it: a
 * block has two of them. */
static Value *
lower_starts(Graph *g, Node *ssd, const PassCtx *cx, int64_t q, Value *A)
{
    enum { RUN = 64, HEADS = 2 };
    const int64_t heads = node_int(ssd, ATTR_heads, 1);
    const int64_t parts = cx->machine->gpu.units / (heads < HEADS ? 1 : heads / HEADS);
    const bool runs = q == CHUNK_ALL || q % RUN == 0;
    const bool bf16 = strcmp(node_word(ssd, ATTR_dot, "f32"), "bf16") == 0;
    if (!ssd_fits_groups(cx->machine, ssd) || !bf16 || !runs || parts < 2 || !graph_has_runs(g))
        return NULL;
    AttrList attrs = {0};
    const AttrId taken[] = {ATTR_heads, ATTR_head_dim, ATTR_groups, ATTR_state, ATTR_dot};
    for (size_t i = 0; i < COUNT_OF(taken); i++) {
        const Attr *attr = attrs_find(&ssd->attrs, taken[i]);
        if (attr)
            attrs_set(g->arena, &attrs, *attr);
    }
    attrs_set(g->arena, &attrs, attr_int(ATTR_chunk, q));
    attrs_set(g->arena, &attrs, attr_int(ATTR_parts, parts));
    Value *in[] = {ssd->in[SSD_X], ssd->in[SSD_DT], A, ssd->in[SSD_B], ssd->in[SSD_STATE]};
    return graph_build(g, ssd, OP_ssd_starts, COUNT_OF(in), in, &attrs, NULL, ssd->loc);
}

static Value *
lower_one(Graph *g, Node *ssd, const PassCtx *cx, bool windows)
{
    const char *form = node_word(ssd, ATTR_form, "recurrent");
    const int64_t said = node_int(ssd, ATTR_chunk, CHUNK_ALL), q = said > 0 ? said : CHUNK_ALL;
    Value *in[SSD_OPERANDS];
    memcpy(in, ssd->in, sizeof in);
    Value *decay = lower_op(g, ssd, q, OP_exp, 1, &in[SSD_A_LOG]); /* [H] */
    Value *A = lower_op(g, ssd, q, OP_neg, 1, &decay);             /* [H] */
    if (strcmp(form, "chunked") != 0 && strcmp(form, "quadratic") != 0) {
        in[SSD_A_LOG] = A;
        return lower_op(g, ssd, windows ? SSD_WINDOW : CHUNK_ALL, OP_ssd_scan, SSD_OPERANDS, in);
    }
    Value *x = in[SSD_X], *dt = in[SSD_DT], *B = in[SSD_B], *C = in[SSD_C];
    Value *a = lower_op(g, ssd, q, OP_chunk_decay, 2, (Value *[]){dt, A}); /* [T,H] */
    Value *cb = lower_op(g, ssd, q, OP_chunk_cb, 2, (Value *[]){C, B});    /* [T,G,Q] */
    Value *added =
        lower_op(g, ssd, q, OP_chunk_state, 4, (Value *[]){B, x, dt, a}); /* [T/Q,H,N,P] */
    Value *states[] = {added, a, in[SSD_STATE], lower_starts(g, ssd, cx, q, A)};
    Value *entering = lower_op(g, ssd, q, OP_state_pass, states[3] ? 4 : 3, states);
    return lower_op(g, ssd, q, OP_chunk_out, 7, (Value *[]){cb, a, dt, x, C, entering, in[SSD_D]});
}

bool
pass_lower_ssd(Graph *g, PassCtx *cx)
{
    Forward forward = forward_new(g, cx->arena);
    bool changed = false;
    const bool windows = graph_has_runs(g) && !cx->reproducible &&
                         cx->machine->gpu.kind == GPU_none; /* its state stays there anyhow */
    for (Node *n = g->first; n; n = n->next) {
        forward_operands(&forward, n);
        if (n->op != OP_ssd)
            continue;
        forward_put(&forward, n->out[0], lower_one(g, n, cx, windows));
        changed = true;
    }
    forward_outputs(&forward);
    for (Node *n = g->first, *next; n && changed; n = next) {
        next = n->next;
        if (n->op == OP_ssd)
            graph_remove(g, n);
    }
    return changed;
}
