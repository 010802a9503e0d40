/* passes/panel.c -- the panel table: which panels a machine has, which one a weight gets, and
 * whether the machine's matrix unit multiplies it. */
#include "passes/cost.h"
#include "passes/internal.h"

enum { UNIT_vectors, UNIT_matrix };

typedef struct {
    int bytes, registers;
    bool matrix; /* for machines whose matrix unit multiplies dtype */
    Dtype dtype;
    Panel panel;
    double rate;
} PanelRow;

static const PanelRow table[] = {
#define PANEL(bytes, registers, unit, dtype, vectors, rows, rate, source)                          \
    {                                                                                              \
        bytes, registers, UNIT_##unit, DTYPE_##dtype, {vectors, rows}, \
            rate \
},
#include "passes/panel.def"
#undef PANEL
};

/* ---- the table ----------------------------------------------------------------------------- */

/* The first row of the machine's group; rows of a group stand together, the widest first. */
static size_t
panel_group(const Machine *m, Dtype dtype, bool matrix)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].dtype == dtype && table[i].matrix == matrix &&
            table[i].bytes <= m->vector_bytes && table[i].registers <= m->vector_registers)
            return i;
    die("panel.def has nothing for vectors of %d bytes", m->vector_bytes);
}

static bool
panel_same_group(size_t a, size_t b)
{
    return b < COUNT_OF(table) && table[a].bytes == table[b].bytes &&
           table[a].registers == table[b].registers && table[a].matrix == table[b].matrix &&
           table[a].dtype == table[b].dtype;
}

/* Of a matrix unit, or of vectors. */
static Panel
panel_of(const Machine *m, const PanelWeight *w, bool matrix)
{
    const size_t first = panel_group(m, w->dtype, matrix);
    size_t best = first;
    double least = 0;
    for (size_t i = first; panel_same_group(first, i); i++) {
        const int64_t width = table[i].panel.vectors * machine_lanes(m);
        const double cost = (double)round_up(w->columns, width) / table[i].rate;
        if (i != first && cost >= least)
            continue;
        best = i;
        least = cost;
    }
    return table[best].panel;
}

/* ---- matrix unit or vectors ---------------------------------------------------------------- */

PanelWeight
panel_weight(const Node *n, Dtype dtype)
{
    return (PanelWeight){.dtype = dtype,
                         .inputs = type_width(&node_operand(n, 'x')->type),
                         .columns = type_width(&n->out[0]->type),
                         .group = node_int(n, ATTR_group, 0),
                         .triples = node_in_triples(n) && dtype == DTYPE_bf16};
}

double
panel_predict(const Machine *m, const PanelWeight *w, bool matrix)
{
    const int64_t width = panel_of(m, w, matrix).vectors * machine_lanes(m);
    const CostLinear l = {.weight = w->dtype,
                          .matrix = matrix,
                          .inputs = w->inputs,
                          .columns = round_up(w->columns, width),
                          .group = w->group,
                          .triples = w->triples,
                          .threads = 1};
    return cost_linear(m, &l);
}

static bool
unit_can(const MatrixUnit *unit, const PanelWeight *w)
{
    if (w->dtype == DTYPE_bf16)
        return unit->bf16;
    const bool bytes = w->dtype == DTYPE_u8 || w->dtype == DTYPE_u4x2;
    return bytes && unit->i8 && w->group % (unit->row_bytes / 2) == 0;
}

/* Whether the weight is packed for the unit: what is asked for as triples always. By the shipped
 * constants, so that a variant without the unit packs as the one beside it; C functions in the
 * unit's place are there to be called. */
static bool
panel_for_unit(const Machine *m, const PanelWeight *w)
{
    Machine with = *m;
    with.matrix = m->panels;
    with.costs = costs_shipped(&with);
    return unit_can(&m->panels, w) &&
           (m->panels.model || w->triples ||
            panel_predict(&with, w, true) <= panel_predict(&with, w, false));
}

bool
panel_unit(const Machine *m, const PanelWeight *w)
{
    return unit_can(&m->matrix, w) && panel_for_unit(m, w);
}

/* ---- what passes ask ----------------------------------------------------------------------- */

Panel
panel_for(const Machine *m, const PanelWeight *w)
{
    return panel_of(m, w, panel_for_unit(m, w));
}

void
panel_print(StrBuf *out, const Machine *m, const PanelWeight *w)
{
    const bool can = unit_can(&m->matrix, w), unit = panel_unit(m, w);
    if (w->triples) {
        sb_printf(out,
                  "unit matrix (%s), as dot=bf16x3 asks; nanoseconds a token, predicted, one "
                  "thread: %.4g",
                  m->panels.name, 1e9 * panel_predict(m, w, true));
        return;
    }
    if (can)
        sb_printf(out,
                  "unit %s (%s); nanoseconds a token, predicted, one thread: %s %.4g, vectors %.4g",
                  unit ? "matrix" : "vectors", m->matrix.name, m->matrix.name,
                  1e9 * panel_predict(m, w, true), 1e9 * panel_predict(m, w, false));
    if (unit)
        return;
    sb_puts(out, can ? "; " : "");
    sb_puts(out, "the most useful GFLOP/s by panel.def:");
    const size_t first = panel_group(m, w->dtype, false);
    for (size_t i = first; panel_same_group(first, i); i++) {
        const int64_t width = table[i].panel.vectors * machine_lanes(m);
        const double used = (double)w->columns / (double)round_up(w->columns, width);
        sb_printf(out, "%s %lld: %.1f", i == first ? "" : ",", (long long)width,
                  table[i].rate * used);
    }
}

int64_t
panel_rows(const Machine *m, const PanelWeight *w, int64_t vectors)
{
    const size_t first = panel_group(m, w->dtype, panel_for_unit(m, w));
    for (size_t i = first; panel_same_group(first, i); i++)
        if (table[i].panel.vectors == vectors)
            return table[i].panel.rows;
    return 1; /* a panel that the text gave: always fits */
}
