/* passes/panel.c -- the panel table: which panels a machine has, and which one a weight gets. */
#include "passes/internal.h"

typedef struct {
    int bytes, registers;
    Dtype dtype;
    Panel panel;
    double rate;
} PanelRow;

static const PanelRow table[] = {
#define PANEL(bytes, registers, dtype, vectors, rows, rate, source)                                \
    {                                                                                              \
        bytes, registers, DTYPE_##dtype, {vectors, rows}, \
           rate \
},
#include "passes/panel.def"
#undef PANEL
};

/* The first row of the machine's group; rows of a group stand together, the widest first. */
static size_t
panel_group(const Machine *m, Dtype dtype)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (table[i].dtype == dtype && table[i].bytes <= m->vector_bytes &&
            table[i].registers <= m->vector_registers)
            return i;
    die("panel.def has nothing for vectors of %d bytes", m->vector_bytes);
}

static bool
panel_same_group(size_t a, size_t b)
{
    return b < COUNT_OF(table) && table[a].bytes == table[b].bytes &&
           table[a].registers == table[b].registers && table[a].dtype == table[b].dtype;
}

Panel
panel_for(const Machine *m, Dtype dtype, int64_t columns)
{
    const size_t group = panel_group(m, dtype);
    size_t best = group;
    double least = 0;
    for (size_t i = group; panel_same_group(group, i); i++) {
        const int64_t width = table[i].panel.vectors * machine_lanes(m);
        const double cost = (double)round_up(columns, width) / table[i].rate;
        if (i != group && cost >= least)
            continue;
        best = i;
        least = cost;
    }
    return table[best].panel;
}

void
panel_print(StrBuf *out, const Machine *m, Dtype dtype, int64_t columns)
{
    const size_t group = panel_group(m, dtype);
    for (size_t i = group; panel_same_group(group, i); i++) {
        const int64_t width = table[i].panel.vectors * machine_lanes(m);
        const double used = (double)columns / (double)round_up(columns, width);
        sb_printf(out, "%s%lld: %.1f", i == group ? "" : ", ", (long long)width,
                  table[i].rate * used);
    }
}

int64_t
panel_rows(const Machine *m, Dtype dtype, int64_t vectors)
{
    const size_t group = panel_group(m, dtype);
    for (size_t i = group; panel_same_group(group, i); i++)
        if (table[i].panel.vectors == vectors)
            return table[i].panel.rows;
    return 1; /* a panel that the text gave: always fits */
}
