/* passes/choose_matmul.c -- each projection: our kernel over packed weights, or OpenBLAS.
 *
 * Requires: quantise has run: what a linear multiplies in is known.
 * Ensures: every linear says matmul=emitted or matmul=blas; with blas both factors are f32.
 * Does not change: anything but that attribute and the stored type of the weights blas reads.
 *
 * Algorithm: a linear with dot=bf16x3 is emitted. Of others the first of these decides that says
 * anything: 1. the option (cx->matmul); 2. the node's own attribute; 3. the table matmul.def. A
 * choice of blas becomes emitted where BLAS is ruled out (cx->no_blas). OpenBLAS has no bf16
 * product on x86 without AMX, so a bf16 linear is always emitted, and a choice of blas that meets
 * one is noted. blas reads W as plain rows of f32: a weight stored as anything else is cast once at
 * load.
 *
 *   y: f32[T,512] = linear(x, W)
 * becomes
 *   y: f32[T,512] = linear(x, W) {matmul=emitted}
 */
#include <string.h>

#include "passes/internal.h"

static const struct {
    int64_t vector_bytes, columns;
    const char *who, *source;
} matmul_table[] = {
#define MATMUL(bytes, columns, who, source) {bytes, columns, #who, source},
#include "passes/matmul.def"
#undef MATMUL
};

static size_t
matmul_row(const Machine *m, int64_t columns)
{
    size_t row = 0;
    while (row + 1 < COUNT_OF(matmul_table) && (m->vector_bytes < matmul_table[row].vector_bytes ||
                                                columns < matmul_table[row].columns))
        row++;
    return row;
}

/* Nanoseconds a token of each way by the constants of cx, many tokens at once. */
static void
matmul_predict(StrBuf *out, const PassCtx *cx, const Node *linear)
{
    const Machine *m = cx->machine;
    const PanelWeight w = panel_weight(linear, linear->in[0]->type.dtype);
    const CostLinear plain = {
        .weight = w.dtype, .blas = true, .inputs = w.inputs, .columns = w.columns, .threads = 1};
    const double scale = 1e9 / (cx->threads > 0 ? cx->threads : 1);
    if (node_in_triples(linear)) {
        const PanelWeight parts = panel_weight(linear, DTYPE_bf16);
        sb_printf(out, "bf16 triples %.4g on %s, f32 %.4g on vectors",
                  scale * panel_predict(m, &parts, true), m->matrix.name,
                  scale * panel_predict(m, &w, false));
    } else if (panel_unit(m, &w))
        sb_printf(out, "emitted %.4g on %s, %.4g on vectors", scale * panel_predict(m, &w, true),
                  m->matrix.name, scale * panel_predict(m, &w, false));
    else
        sb_printf(out, "emitted %.4g", scale * panel_predict(m, &w, false));
    if (w.dtype == DTYPE_f32)
        sb_printf(out, ", blas %.4g", scale * cost_linear(m, &plain));
}

static void
matmul_explain(PassCtx *cx, const Node *linear, const char *who, const char *why)
{
    const Dtype dtype = linear->in[0]->type.dtype;
    StrBuf costs = {0};
    matmul_predict(&costs, cx, linear);
    pass_explain(cx,
                 "linear %lld -> %lld, %s: %s (%s)\n"
                 "  nanoseconds a token, predicted, threads %d: %s",
                 (long long)type_width(&linear->in[0]->type),
                 (long long)type_width(&linear->out[0]->type), dtype_info[dtype].name, who, why,
                 cx->threads, sb_text(&costs));
    sb_free(&costs);
}

static const char *
matmul_choose(PassCtx *cx, const Node *linear, bool *noted)
{
    const int64_t columns = type_width(&linear->out[0]->type);
    const size_t row = matmul_row(cx->machine, columns);
    const char *table = matmul_table[row].who, *why = matmul_table[row].source;
    const char *who = choose_word(cx->matmul, linear, ATTR_matmul, table);
    const Dtype dtype = linear->in[0]->type.dtype;
    if (strcmp(who, table) != 0)
        why = "asked for";
    if (attrs_find(&linear->attrs, ATTR_rows) && dtype == DTYPE_f32) {
        who = "emitted";
        why = "some rows of a weight alone";
    }
    if (dtype != DTYPE_f32 || node_in_triples(linear)) {
        if (strcmp(who, "blas") == 0 && !*noted) {
            diag_note(cx->diag, linear->loc,
                      "matmul=blas has no bf16 product: bf16 projections use emitted kernels");
            *noted = true; /* once for all projections */
        }
        who = "emitted";
        why = dtype != DTYPE_f32 ? "OpenBLAS has no bf16 product here"
                                 : "dot=bf16x3: three products of bf16 for one of f32";
    }
    if (cx->no_blas && strcmp(who, "blas") == 0) {
        who = "emitted";
        why = "OpenBLAS is ruled out";
    }
    matmul_explain(cx, linear, who, why);
    return who;
}

bool
pass_choose_matmul(Graph *g, PassCtx *cx)
{
    bool changed = false, noted = false;
    for (Node *n = g->first; n; n = n->next) {
        bool required;
        if (!op_takes_attr(n->op, ATTR_matmul, &required) || node_is_packed(n))
            continue;
        const bool gpu = cx->machine->gpu.kind != GPU_none; /* there is one way */
        const char *who = gpu ? "emitted" : matmul_choose(cx, n, &noted);
        if (strcmp(who, node_word(n, ATTR_matmul, "")) != 0) {
            graph_set_attr(g, n, attr_word(ATTR_matmul, who));
            changed = true;
        }
        if (strcmp(who, "blas") == 0 && node_weight(n)->type.dtype != DTYPE_f32) {
            graph_set_operand(g, n, op_slot(n->op, 'W'), value_as(g, n, node_weight(n), DTYPE_f32));
            changed = true;
        }
    }
    return changed;
}
