/* passes/choose_form.c -- the form and the chunk length of each ssd.
 *
 * Requires: ssd nodes whose form and chunk may be absent, auto or given.
 * Ensures: every ssd has form=recurrent, or form=chunked with chunk=Q, or form=quadratic with
 *   chunk=all; and with chunks dot=f32 or dot=bf16. A recurrent form that was asked for together
 *   with a chunk keeps it: tokens that may share a decay.
 * Does not change: anything but those attributes. All three forms compute the same.
 *
 * Algorithm: decode takes the recurrent form: one token is one step. In prefill the first of
 * these that says anything decides:
 *   1. the option (cx->form, cx->chunk); 2. the node's own attributes; 3. the table chunk.def.
 * A chunk without a form means chunked (all: quadratic). chunked without a chunk takes its length
 * from the next in that order. A call with fewer than Q tokens is one short chunk, which is the
 * quadratic form, so that short calls need no choice of their own. A node that leaves dot open
 * multiplies bf16 where projections do not multiply f32 and the machine has the dot of pairs.
 *
 *   y: f32[T,512] = ssd(x, dt, A_log, B, C, D, s) {heads=8, ..., form=auto, chunk=auto}
 * becomes
 *   y: f32[T,512] = ssd(x, dt, A_log, B, C, D, s) {heads=8, ..., form=chunked, chunk=64, dot=f32}
 */
#include <string.h>

#include "passes/internal.h"

typedef enum { FORM_AUTO, FORM_RECURRENT, FORM_CHUNKED, FORM_QUADRATIC, FORM_COUNT } Form;
static const char *const form_name[FORM_COUNT] = {"auto", "recurrent", "chunked", "quadratic"};

static const struct {
    int64_t vector_bytes, state, head_dim;
    Form form;
    int64_t chunk;
    const char *source;
} form_table[] = {
#define SSD(bytes, state, dim, form, q, source) {bytes, state, dim, FORM_##form, q, source},
#include "passes/chunk.def"
#undef SSD
};

typedef struct {
    Form form;
    int64_t chunk; /* CHUNK_AUTO, CHUNK_ALL or a length */
    const char *by;
} Choice;

static bool
form_by_name(const char *name, Form *out)
{
    for (int i = 0; i < FORM_COUNT; i++) {
        if (strcmp(form_name[i], name) != 0)
            continue;
        *out = (Form)i;
        return true;
    }
    return false;
}

/* What form and chunk say together; a form left open follows from the chunk. */
static Choice
form_said(Form form, int64_t chunk, const char *by)
{
    if (form == FORM_AUTO && chunk != CHUNK_AUTO)
        form = chunk == CHUNK_ALL ? FORM_QUADRATIC : FORM_CHUNKED;
    if (form == FORM_CHUNKED && chunk == CHUNK_ALL)
        form = FORM_QUADRATIC;
    return (Choice){form, chunk, by};
}

static Choice
form_from_table(const PassMachine *m, const Node *ssd)
{
    const int64_t state = node_int(ssd, ATTR_state, 1), head_dim = node_int(ssd, ATTR_head_dim, 1);
    size_t row = 0;
    while (row + 1 < COUNT_OF(form_table) &&
           (m->vector_bytes < form_table[row].vector_bytes || state < form_table[row].state ||
            head_dim < form_table[row].head_dim))
        row++;
    return (Choice){form_table[row].form, form_table[row].chunk, form_table[row].source};
}

/* The first of the three that says a form; its chunk from the first that says a length. */
static Choice
form_first(const Choice *choices, int count)
{
    int at = 0;
    while (at + 1 < count && choices[at].form == FORM_AUTO)
        at++;
    Choice out = choices[at];
    if (out.form == FORM_RECURRENT && at + 1 == count)
        out.chunk = CHUNK_AUTO; /* the table's is for those who ask for chunks */
    if (out.form == FORM_QUADRATIC)
        out.chunk = CHUNK_ALL;
    for (int i = at; out.form == FORM_CHUNKED && out.chunk <= 0 && i < count; i++)
        out.chunk = choices[i].chunk;
    return out;
}

/* ---- estimates -------------------------------------------------------------------------- */

typedef struct {
    double heads, head_dim, groups, state;
} FormSize;

static FormSize
form_size(const Node *ssd)
{
    return (FormSize){(double)node_int(ssd, ATTR_heads, 1), (double)node_int(ssd, ATTR_head_dim, 1),
                      (double)node_int(ssd, ATTR_groups, 1), (double)node_int(ssd, ATTR_state, 1)};
}

/* Operations a token: decay the state and add B x^T (3 N P a head), read C^T h (2 N P a head). */
static double
form_recurrent_cost(const FormSize *z)
{
    return z->heads * 5 * z->state * z->head_dim;
}

/* The same for chunks of q tokens, on average over the lower triangle: C B^T a group, decay and its
 * product with dt x a head; what a chunk adds to and reads from the state; the pass over chunk
 * states. */
static double
form_chunked_cost(const FormSize *z, double q)
{
    const double inside = (q + 1) * (z->groups * z->state + z->heads * (1 + z->head_dim));
    const double state = z->heads * z->state * z->head_dim * (4 + 2 / q);
    return inside + state;
}

static void
form_explain(PassCtx *cx, const Graph *g, const Node *ssd, const Choice *choice)
{
    const FormSize z = form_size(ssd);
    StrBuf costs = {0};
    sb_printf(&costs, "recurrent %.0f", form_recurrent_cost(&z) / 1e3);
    for (int q = 16; q <= 256; q *= 2)
        sb_printf(&costs, ", Q=%d %.0f", q, form_chunked_cost(&z, q) / 1e3);
    const int64_t block = g->block > 0 ? g->block : 512;
    sb_printf(&costs, ", quadratic over %lld %.0f", (long long)block,
              form_chunked_cost(&z, (double)block) / 1e3);
    StrBuf what = {0};
    sb_puts(&what, form_name[choice->form]);
    if (choice->form == FORM_CHUNKED)
        sb_printf(&what, " Q=%lld", (long long)choice->chunk);
    pass_explain(cx, "ssd H=%.0f P=%.0f N=%.0f G=%.0f: %s (%s); thousand operations a token: %s",
                 z.heads, z.head_dim, z.state, z.groups, sb_text(&what), choice->by,
                 sb_text(&costs));
    sb_free(&costs);
    sb_free(&what);
}

/* ---- the pass --------------------------------------------------------------------------- */

static Choice
form_choose(const PassCtx *cx, const Node *ssd, Form option)
{
    if (cx->phase == PHASE_DECODE)
        return (Choice){FORM_RECURRENT, CHUNK_AUTO, "one token is one step"};
    Form attr = FORM_AUTO;
    if (!form_by_name(node_word(ssd, ATTR_form, "auto"), &attr))
        diag_error(cx->diag, ssd->loc, "form=%s: expected auto, recurrent, chunked or quadratic",
                   node_word(ssd, ATTR_form, "auto"));
    const Choice choices[] = {
        form_said(option, cx->chunk, "by option"),
        form_said(attr, node_int(ssd, ATTR_chunk, CHUNK_AUTO), "by attribute"),
        form_from_table(&cx->machine, ssd),
    };
    return form_first(choices, COUNT_OF(choices));
}

/* What the products of a form of chunks multiply; NULL: the node has said it, or has none. */
static const char *
dot_choose(const PassCtx *cx, const Node *ssd, const Choice *choice)
{
    if (choice->form == FORM_RECURRENT || strcmp(node_word(ssd, ATTR_dot, "auto"), "auto") != 0)
        return NULL;
    const bool rounds = format_info[cx->format].reals == DTYPE_bf16;
    return rounds && cx->machine.bf16_dot ? "bf16" : "f32";
}

static bool
dot_write(Graph *g, Node *ssd, const char *dot)
{
    if (!dot)
        return false;
    graph_set_attr(g, ssd, attr_word(ATTR_dot, dot));
    return true;
}

static bool
form_write(Graph *g, Node *ssd, const Choice *choice)
{
    const char *before = node_word(ssd, ATTR_form, "");
    const bool same_form = strcmp(before, form_name[choice->form]) == 0;
    const bool has_chunk = choice->form != FORM_RECURRENT || choice->chunk > 0;
    const Attr *chunk = attrs_find(&ssd->attrs, ATTR_chunk);
    if (same_form && (chunk ? has_chunk && chunk->i == choice->chunk : !has_chunk))
        return false;
    graph_set_attr(g, ssd, attr_word(ATTR_form, form_name[choice->form]));
    if (has_chunk)
        graph_set_attr(g, ssd, attr_int(ATTR_chunk, choice->chunk));
    else
        attrs_remove(&ssd->attrs, ATTR_chunk);
    return true;
}

bool
pass_choose_form(Graph *g, PassCtx *cx)
{
    Form option = FORM_AUTO;
    if (cx->form && !form_by_name(cx->form, &option)) {
        diag_error(cx->diag, (SrcLoc){0}, "form %s: expected auto, recurrent, chunked or quadratic",
                   cx->form);
        return false;
    }
    bool changed = false;
    for (Node *n = g->first; n; n = n->next) {
        if (n->op != OP_ssd)
            continue;
        const Choice choice = form_choose(cx, n, option);
        form_explain(cx, g, n, &choice);
        changed = form_write(g, n, &choice) || changed;
        changed = dot_write(g, n, dot_choose(cx, n, &choice)) || changed;
    }
    return changed;
}
