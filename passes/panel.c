/* passes/panel.c -- the panel table: which panels a machine has, and which one a weight gets. */
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

bool
panel_unit(const Machine *m, Dtype dtype, int64_t group)
{
    if (dtype == DTYPE_bf16)
        return m->matrix.bf16;
    const bool bytes = dtype == DTYPE_u8 || dtype == DTYPE_u4x2;
    return bytes && m->matrix.i8 && group % (m->matrix.row_bytes / 2) == 0;
}

/* The first row of the machine's group; rows of a group stand together, the widest first. */
static size_t
panel_group(const Machine *m, Dtype dtype, int64_t group)
{
    const bool matrix = panel_unit(m, dtype, group);
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

Panel
panel_for(const Machine *m, Dtype dtype, int64_t group, int64_t columns)
{
    const size_t first = panel_group(m, dtype, group);
    size_t best = first;
    double least = 0;
    for (size_t i = first; panel_same_group(first, i); i++) {
        const int64_t width = table[i].panel.vectors * machine_lanes(m);
        const double cost = (double)round_up(columns, width) / table[i].rate;
        if (i != first && cost >= least)
            continue;
        best = i;
        least = cost;
    }
    return table[best].panel;
}

void
panel_print(StrBuf *out, const Machine *m, Dtype dtype, int64_t group, int64_t columns)
{
    const size_t first = panel_group(m, dtype, group);
    for (size_t i = first; panel_same_group(first, i); i++) {
        const int64_t width = table[i].panel.vectors * machine_lanes(m);
        const double used = (double)columns / (double)round_up(columns, width);
        sb_printf(out, "%s%lld: %.1f", i == first ? "" : ", ", (long long)width,
                  table[i].rate * used);
    }
}

int64_t
panel_rows(const Machine *m, Dtype dtype, int64_t group, int64_t vectors)
{
    const size_t first = panel_group(m, dtype, group);
    for (size_t i = first; panel_same_group(first, i); i++)
        if (table[i].panel.vectors == vectors)
            return table[i].panel.rows;
    return 1; /* a panel that the text gave: always fits */
}
