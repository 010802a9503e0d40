/* explore/text.c -- results for people at a terminal. */
#include <math.h>
#include <string.h>

#include "explore/explore.h"

enum { CELL = 11 };

/* Slowest and fastest prefill of a grid. */
typedef struct {
    double low, high;
} Range;

static Range
range_of(const ExploreGrid *p)
{
    Range r = {INFINITY, 0};
    for (int i = 0; i < p->nlines * p->nstates; i++) {
        const ExploreRow *row = p->cells[i];
        if (!row || !explore_is_ok(row))
            continue;
        r.low = row->prefill_tps < r.low ? row->prefill_tps : r.low;
        r.high = row->prefill_tps > r.high ? row->prefill_tps : r.high;
    }
    return r;
}

/* A rate, an eighth to eight eighths of a block, and a star at what the compiler takes by itself.
 */
static void
put_cell(StrBuf *out, const ExploreRow *row, Range r)
{
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    if (!row || !explore_is_ok(row)) {
        sb_printf(out, "%*s   ", CELL - 3, row ? "-" : "");
        return;
    }
    const double at = r.high > r.low ? (row->prefill_tps - r.low) / (r.high - r.low) : 1;
    sb_printf(out, "%*.0f %s%s", CELL - 3, row->prefill_tps, block[(int)(at * 7.999)],
              row->chosen == 1 ? "*" : " ");
}

/* What is the same for every form: decoding, the state's size. */
static void
put_states(StrBuf *out, const ExploreGrid *p)
{
    sb_printf(out, "%-10s", "decoding");
    for (int s = 0; s < p->nstates; s++) {
        const ExploreRow *row = grid_chosen(p, s) ? grid_chosen(p, s) : grid_best(p, s, NULL);
        if (row)
            sb_printf(out, "%*.1f   ", CELL - 3, row->decode_tps);
        else
            sb_printf(out, "%*s   ", CELL - 3, "-");
    }
    sb_printf(out, "\n%-10s", "state, MiB");
    for (int s = 0; s < p->nstates; s++) {
        const ExploreRow *row = grid_best(p, s, NULL);
        if (row)
            sb_printf(out, "%*.2f   ", CELL - 3, (double)row->state_bytes / (1 << 20));
        else
            sb_printf(out, "%*s   ", CELL - 3, "-");
    }
    sb_puts(out, "\n");
}

static void
put_grid(StrBuf *out, const ExploreGrid *p)
{
    const Range r = range_of(p);
    sb_puts(out, "\ntokens/s: ");
    grid_title(out, p, true);
    sb_puts(out, "; *: the compiler's own choice\n");
    StrBuf name = {0};
    sb_printf(out, "%-10s", "");
    for (int s = 0; s < p->nstates; s++) {
        name.len = 0;
        state_title(&name, p->states[s]);
        sb_printf(out, "%*s   ", CELL - 3, sb_text(&name));
    }
    sb_puts(out, "\n");
    for (int l = 0; l < p->nlines; l++) {
        name.len = 0;
        line_title(&name, p->lines[l].form, p->lines[l].chunk);
        sb_printf(out, "%-10s", sb_text(&name));
        for (int s = 0; s < p->nstates; s++)
            put_cell(out, grid_at(p, l, s), r);
        sb_puts(out, "\n");
    }
    sb_free(&name);
    put_states(out, p);
    explore_say_best(out, p);
    sb_puts(out, "\n");
    if (p->nstates > 1) {
        explore_say_fall(out, p);
        sb_puts(out, "\n");
    }
}

/* Points without numbers, each with its reason. */
static void
put_rest(StrBuf *out, const ExploreTable *t)
{
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (explore_is_ok(row) || strcmp(row->status, explore_unmeasured) == 0)
            continue;
        const size_t len = strcspn(row->why, "\n");
        state_title(out, row->state);
        if (row->head_dim > 0)
            sb_printf(out, " P=%lld G=%lld", (long long)row->head_dim, (long long)row->groups);
        if (row->attention > 0)
            sb_printf(out, " attention=%lld", (long long)row->attention);
        sb_printf(out, " %s ", row->dtype);
        line_title(out, row->form, row->chunk);
        sb_printf(out, ": %s: ", row->status);
        sb_putn(out, row->why, len);
        sb_puts(out, "\n");
    }
}

void
explore_put_text(StrBuf *out, const ExploreTable *t)
{
    Arena *arena = arena_new();
    ExploreGrid *grids = NULL;
    const int count = explore_grids(arena, t, &grids);
    const ExploreChoices choices = explore_choices(arena, grids, count);
    sb_printf(out, "%s on %s, ssmc %s; weights: %s\n", t->head[HEAD_model], t->head[HEAD_machine],
              t->head[HEAD_ssmc], t->head[HEAD_weights]);
    for (int i = 0; i < count; i++)
        put_grid(out, &grids[i]);
    sb_puts(out, "\n");
    for (int f = 0; f < FORMAT_COUNT; f++) {
        const size_t before = out->len;
        explore_say_attention(out, t, format_info[f].name);
        sb_puts(out, out->len > before ? "\n" : "");
    }
    explore_say_choices(out, &choices);
    sb_puts(out, "\n");
    explore_say_noise(out, t);
    sb_puts(out, "\n");
    put_rest(out, t);
    arena_free(arena);
}
