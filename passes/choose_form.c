/* passes/choose_form.c -- the form and the chunk length of each op that has several forms: ssd and
 * delta, which are called ssd here.
 *
 * Requires: nodes whose form and chunk may be absent, auto or given.
 * Ensures: every such op has form=recurrent, or form=chunked with chunk=Q, or form=quadratic with
 *   chunk=all; and with chunks dot=f32 or dot=bf16.
 * Does not change: anything but those attributes. All three forms compute the same.
 *
 * Algorithm: where calls have one token of a sequence the recurrent form: one token is one step.
 * Where they may have several the first of these that says anything decides:
 *   1. the option (cx->form, cx->chunk); 2. the node's own attributes; 3. the least time of a pass
 *   of the graph's block: measured (cx->measured), or else predicted (passes/cost.h); but on a GPU,
 *   whose times the constants of predictions are not of, where none was measured the chunk of
 *   machine/gpus.def.
 * A delta whose state decays by a number for each channel of a key has the recurrent form alone,
 * whatever an option says.
 * A chunk without a form means chunked (all: quadratic). chunked without a chunk takes its length
 * from the next in that order. A call with fewer than Q tokens is one short chunk, which is the
 * quadratic form, so that short calls need no choice of their own. A node that leaves dot open
 * multiplies bf16 where the format rounds activations to it (ir/formats.def) and the machine has
 * the dot of pairs, or a matrix unit, which then multiplies all products of chunks.
 *
 *   y: f32[T,512] = ssd(x, dt, A_log, B, C, D, s) {heads=8, ..., form=auto, chunk=auto}
 * becomes
 *   y: f32[T,512] = ssd(x, dt, A_log, B, C, D, s) {heads=8, ..., form=chunked, chunk=64, dot=f32}
 */
#include <math.h>
#include <string.h>

#include "passes/internal.h"

typedef struct {
    Form form;
    int64_t chunk; /* CHUNK_AUTO, CHUNK_ALL or a length */
    const char *by;
} Choice;

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

static bool
on_gpu(const PassCtx *cx)
{
    return cx->machine->gpu.kind != GPU_none;
}

/* Whether the dot of pairs is worth it where most of a chunk's work is f32 anyway: if it takes less
 * than the two multiply-adds it is. */
static bool
pairs_pay(const Machine *m)
{
    return m->bf16_dot && m->costs.step[COST_linear_bf16] < 2 * m->costs.step[COST_linear_f32];
}

/* What the products of chunks multiply: as the node says; left open, bf16 where the format rounds
 * activations to it and the machine has the dot of pairs or a matrix unit. */
static const char *
dot_choose(const PassCtx *cx, const Node *ssd)
{
    const bool rounds = format_info[cx->format].reals == DTYPE_bf16;
    const Machine *m = cx->machine;
    const bool pairs = node_flag(ssd, 'V') ? pairs_pay(m) : m->bf16_dot;
    const bool has = pairs || m->matrix.bf16 || on_gpu(cx);
    return choose_word(NULL, ssd, ATTR_dot, rounds && has ? "bf16" : "f32");
}

/* The first of the three that says a form; its chunk from the first that says a length. */
static Choice
form_first(const Choice *choices, int count)
{
    int at = 0;
    while (at + 1 < count && choices[at].form == FORM_AUTO)
        at++;
    Choice out = choices[at];
    if (out.form == FORM_QUADRATIC)
        out.chunk = CHUNK_ALL;
    for (int i = at; out.form == FORM_CHUNKED && out.chunk <= 0 && i < count; i++)
        out.chunk = choices[i].chunk;
    return out;
}

/* ---- alternatives ------------------------------------------------------------------------ */

enum { MOST_FORMS = 16 };

/* The forms that an ssd may take, and nanoseconds a token of each. */
typedef struct {
    Form form;
    int64_t chunk;
    double predicted, measured; /* measured 0: it was not */
} FormCost;

typedef struct {
    CostSsd size; /* form and chunk left open */
    FormCost list[MOST_FORMS];
    int count;
    bool measured; /* some are */
} Forms;

/* What was measured of that form of an SSD of that size; 0: nothing. */
static double
form_measured(const PassCtx *cx, const CostSsd *z)
{
    for (int i = 0; i < cx->nmeasured; i++)
        if (cost_same(&cx->measured[i].ssd, z))
            return cx->measured[i].seconds * 1e9;
    return 0;
}

static void
form_add(Forms *f, const PassCtx *cx, Form form, int64_t chunk)
{
    CostSsd z = f->size;
    z.form = form;
    z.chunk = chunk;
    const double pass = cost_ssd(cx->machine, &z, z.block);
    const FormCost cost = {form, chunk, 1e9 * pass / (double)z.block, form_measured(cx, &z)};
    f->list[f->count++] = cost;
    f->measured = f->measured || cost.measured > 0;
}

static Forms
forms_of(const PassCtx *cx, const Graph *g, const Node *ssd)
{
    Forms f = {
        .size = {.heads = node_int(ssd, ATTR_heads, 1),
                 .head_dim = node_int(ssd, ATTR_head_dim, 1),
                 .state = node_int(ssd, ATTR_state, 1),
                 .groups = node_int(ssd, ATTR_groups, 1),
                 .bf16 = strcmp(dot_choose(cx, ssd), "bf16") == 0,
                 .solves = node_flag(ssd, 'V'),
                 .block = cost_block(g),
                 .threads = cx->threads}
    };
    form_add(&f, cx, FORM_RECURRENT, CHUNK_AUTO);
    for (const int64_t *q = cost_chunks; *q && *q < f.size.block; q++)
        form_add(&f, cx, FORM_CHUNKED, *q);
    form_add(&f, cx, FORM_QUADRATIC, CHUNK_ALL);
    return f;
}

/* Where some are measured, the others are out. */
static double
form_time(const Forms *f, const FormCost *cost)
{
    if (!f->measured)
        return cost->predicted;
    return cost->measured > 0 ? cost->measured : INFINITY;
}

/* The quickest, of chunks alone or of all; NULL: none is known. */
static const FormCost *
form_quickest(const Forms *f, bool chunks)
{
    const FormCost *best = NULL;
    for (int i = 0; i < f->count; i++) {
        const FormCost *c = &f->list[i];
        if (chunks && c->form != FORM_CHUNKED)
            continue;
        if (!best || form_time(f, c) < form_time(f, best))
            best = c;
    }
    return best;
}

/* As the table says, which has a length for chunks that are asked for, too. */
static Choice
form_of_gpu(const Gpu *gpu, const Forms *f)
{
    const bool chunks = !f->size.solves || (gpu->solved && f->size.bf16);
    const int64_t chunk = f->size.solves && gpu->solved ? gpu->solved : gpu->chunk;
    return (Choice){chunks ? FORM_CHUNKED : FORM_RECURRENT, chunk, "table gpus.def"};
}

/* The quickest form, with the quickest chunk in case chunks are asked for. A block that no length
 * is below is one chunk. */
static Choice
form_by_time(const PassCtx *cx, const Forms *f)
{
    if (on_gpu(cx) && !f->measured)
        return form_of_gpu(&cx->machine->gpu, f);
    const FormCost *best = form_quickest(f, false), *chunks = form_quickest(f, true);
    return (Choice){best->form, chunks ? chunks->chunk : f->size.block,
                    f->measured ? "the least measured" : "the least predicted"};
}

/* ---- explaining -------------------------------------------------------------------------- */

static void
form_text(StrBuf *out, const FormCost *c, int64_t block)
{
    if (c->form == FORM_RECURRENT)
        sb_puts(out, "recurrent");
    else if (c->form == FORM_QUADRATIC)
        sb_printf(out, "quadratic (Q=%lld)", (long long)block);
    else
        sb_printf(out, "Q=%lld", (long long)c->chunk);
}

/* The alternatives, each with its times. Constants of predictions are a CPU's: of a GPU there is
 * what was measured. */
static void
form_costs(StrBuf *out, const PassCtx *cx, const Forms *f)
{
    const char *before = "";
    for (int i = 0; i < f->count; i++) {
        const FormCost *c = &f->list[i];
        if (on_gpu(cx) && c->measured <= 0)
            continue;
        sb_puts(out, before);
        form_text(out, c, f->size.block);
        if (!on_gpu(cx))
            sb_printf(out, " %.4g", c->predicted);
        if (c->measured > 0)
            sb_printf(out, " [%.4g]", c->measured);
        before = ", ";
    }
}

static void
form_explain(PassCtx *cx, const Node *ssd, const Forms *f, const Choice *choice)
{
    const CostSsd *z = &f->size;
    const bool matrix = z->bf16 && cx->machine->matrix.bf16;
    StrBuf text = {0};
    sb_printf(&text, "%s H=%lld P=%lld N=%lld G=%lld, dot %s%s%s: %s", op_info[ssd->op].name,
              (long long)z->heads, (long long)z->head_dim, (long long)z->state,
              (long long)z->groups, z->bf16 ? "bf16" : "f32", matrix ? ", chunks on " : "",
              matrix ? cx->machine->matrix.name : "", form_name[choice->form]);
    if (choice->form == FORM_CHUNKED)
        sb_printf(&text, " Q=%lld", (long long)choice->chunk);
    sb_printf(&text, " (%s)", choice->by);
    if (!on_gpu(cx) || f->measured) {
        sb_printf(&text, "\n  nanoseconds a token,%s%s, threads %d, passes of %lld: ",
                  on_gpu(cx) ? "" : " predicted", f->measured ? " [measured]" : "", z->threads,
                  (long long)z->block);
        form_costs(&text, cx, f);
    }
    if (!on_gpu(cx))
        sb_printf(&text, "\n  constants: %s", cx->machine->costs.source);
    pass_explain(cx, "%s", sb_text(&text));
    sb_free(&text);
}

/* ---- the pass --------------------------------------------------------------------------- */

static Choice
form_of_runs(PassCtx *cx, const Graph *g, const Node *ssd, Form option)
{
    Form attr = FORM_AUTO;
    if (!form_by_name(node_word(ssd, ATTR_form, "auto"), &attr))
        diag_error(cx->diag, ssd->loc, "form=%s: expected auto, recurrent, chunked or quadratic",
                   node_word(ssd, ATTR_form, "auto"));
    const Forms forms = forms_of(cx, g, ssd);
    const Choice choices[] = {
        form_said(option, cx->chunk, "by option"),
        form_said(attr, node_int(ssd, ATTR_chunk, CHUNK_AUTO), "by attribute"),
        form_by_time(cx, &forms),
    };
    const Choice choice = form_first(choices, COUNT_OF(choices));
    form_explain(cx, ssd, &forms, &choice);
    return choice;
}

/* Where there is one form. */
static Choice
form_only(PassCtx *cx, const Node *ssd, const char *why)
{
    pass_explain(
        cx, "%s H=%lld P=%lld N=%lld G=%lld: recurrent (%s)", op_info[ssd->op].name,
        (long long)node_int(ssd, ATTR_heads, 1), (long long)node_int(ssd, ATTR_head_dim, 1),
        (long long)node_int(ssd, ATTR_state, 1), (long long)node_int(ssd, ATTR_groups, 1), why);
    return (Choice){FORM_RECURRENT, CHUNK_AUTO, why};
}

/* Gives the ssd an attribute, or takes it away; whether that changed anything. */
static bool
form_write(Graph *g, Node *ssd, bool has, Attr attr)
{
    const Attr *now = attrs_find(&ssd->attrs, attr.id);
    const bool same = now && now->i == attr.i && (!attr.word || strcmp(now->word, attr.word) == 0);
    if (has ? same : !now)
        return false;
    if (has)
        graph_set_attr(g, ssd, attr);
    else
        attrs_remove(&ssd->attrs, attr.id);
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
        if (!op_has_forms(n->op))
            continue;
        const Choice choice = !graph_has_runs(g) ? form_only(cx, n, "one token is one step")
                              : node_decays_by_channel(n)
                                  ? form_only(cx, n, "a decay for each channel of a key")
                                  : form_of_runs(cx, g, n, option);
        const bool chunks = choice.form != FORM_RECURRENT; /* without, no products of chunks */
        const Attr dot = attr_word(ATTR_dot, dot_choose(cx, n));
        changed |= form_write(g, n, true, attr_word(ATTR_form, form_name[choice.form]));
        changed |= form_write(g, n, chunks, attr_int(ATTR_chunk, choice.chunk));
        changed |= form_write(g, n, chunks, dot);
    }
    return changed;
}
