/* explore/says.c -- what results say, in sentences that hold for whatever was measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explore/explore.h"

/* ---- choices ------------------------------------------------------------------------------- */

static int
miss_order(const void *a, const void *b)
{
    const ExploreMiss *x = a, *y = b;
    return (x->behind < y->behind) - (x->behind > y->behind);
}

ExploreChoices
explore_choices(Arena *arena, const ExploreGrid *grids, int count)
{
    ExploreChoices c = {0};
    int most = 0;
    for (int i = 0; i < count; i++)
        most += grids[i].nstates;
    c.all = arena_array(arena, (size_t)most + 1, sizeof *c.all);
    for (int i = 0; i < count; i++)
        for (int s = 0; s < grids[i].nstates; s++) {
            const ExploreRow *chosen = grid_chosen(&grids[i], s),
                             *best = grid_best(&grids[i], s, NULL);
            if (!chosen || !best || strcmp(chosen->form, explore_no_form) == 0)
                continue;
            const double behind = 1 - chosen->prefill_tps / best->prefill_tps;
            c.all[c.count++] = (ExploreMiss){chosen, best, behind};
            c.within5 += behind <= 0.05;
            c.within15 += behind <= 0.15;
        }
    qsort(c.all, (size_t)c.count, sizeof *c.all, miss_order);
    return c;
}

void
explore_say_choices(StrBuf *out, const ExploreChoices *c)
{
    if (c->count == 0) {
        sb_puts(out, "The compiler's own choice was not measured.");
        return;
    }
    sb_printf(
        out,
        "The compiler's own choice of form and chunk length is within 5 %% of the fastest that "
        "was measured in %d of %d cases, within 15 %% in %d; ",
        c->within5, c->count, c->within15);
    if (c->all[0].behind > 0)
        sb_printf(out, "at worst it is %.1f %% behind.", 100 * c->all[0].behind);
    else
        sb_puts(out, "it is never behind.");
}

/* ---- states -------------------------------------------------------------------------------- */

void
explore_say_best(StrBuf *out, const ExploreGrid *p)
{
    int said = 0;
    sb_puts(out, "Fastest: ");
    for (int s = 0; s < p->nstates; s++) {
        const ExploreRow *best = grid_best(p, s, NULL);
        if (!best)
            continue;
        sb_puts(out, said++ ? "; " : "");
        state_title(out, p->states[s]);
        if (strcmp(best->form, explore_no_form) != 0) {
            sb_puts(out, " ");
            line_title(out, best->form, best->chunk);
        }
        sb_printf(out, " (%.0f tokens/s)", best->prefill_tps);
    }
    sb_puts(out, said ? "." : "nothing was measured.");
}

/* The first and the last state with numbers in a form; false: fewer than two have. */
static bool
ends_of(const ExploreGrid *p, const char *form, const ExploreRow **first, const ExploreRow **last)
{
    *first = *last = NULL;
    for (int s = 0; s < p->nstates; s++) {
        const ExploreRow *best = grid_best(p, s, form);
        if (best && !*first)
            *first = best;
        else if (best)
            *last = best;
    }
    return *last != NULL;
}

static void
put_change(StrBuf *out, const ExploreRow *from, const ExploreRow *to)
{
    const double fall = 1 - to->prefill_tps / from->prefill_tps;
    sb_printf(out, "%s %.0f %% of its speed (%.0f to %.0f tokens/s)", fall < 0 ? "gains" : "loses",
              100 * fabs(fall), from->prefill_tps, to->prefill_tps);
}

void
explore_say_fall(StrBuf *out, const ExploreGrid *p)
{
    const ExploreRow *c0, *c1, *r0, *r1;
    if (!ends_of(p, "chunked", &c0, &c1)) {
        sb_puts(out, "Fewer than two state sizes were measured in the chunked form.");
        return;
    }
    sb_printf(
        out,
        "From N=%lld to N=%lld, a state %.0f times as large, the chunked form at its best chunk "
        "length ",
        (long long)c0->state, (long long)c1->state, (double)c1->state / (double)c0->state);
    put_change(out, c0, c1);
    if (ends_of(p, "recurrent", &r0, &r1) && r0->state == c0->state && r1->state == c1->state) {
        sb_puts(out, "; the recurrent form ");
        put_change(out, r0, r1);
    }
    sb_puts(out, ".");
}

void
explore_say_verdict(StrBuf *out, const ExploreGrid *p)
{
    static const double almost_none = 0.05;
    const ExploreRow *c0, *c1, *r0, *r1;
    if (!ends_of(p, "chunked", &c0, &c1) || !ends_of(p, "recurrent", &r0, &r1) ||
        r0->state != c0->state || r1->state != c1->state)
        return;
    const double chunked = 1 - c1->prefill_tps / c0->prefill_tps,
                 recurrent = 1 - r1->prefill_tps / r0->prefill_tps;
    if (chunked <= almost_none)
        sb_puts(out, " Bigger states come at almost no cost here, as the Mamba-2 paper has it.");
    else if (chunked < recurrent - almost_none)
        sb_puts(out, " Bigger states at almost no cost, as in the Mamba-2 paper: not quite on this "
                     "machine, but chunks make them cheaper than the recurrence does.");
    else
        sb_puts(out,
                " Bigger states at almost no cost, as in the Mamba-2 paper: not on this machine, "
                "where chunks pay for them as the recurrence does.");
}

/* ---- attention ----------------------------------------------------------------------------- */

/* Rows that are compared: all states are, and the longest prompts with most threads. */
static bool
compares(const ExploreRow *row, const ExploreRow *with)
{
    return explore_is_ok(row) && strcmp(row->dtype, with->dtype) == 0 &&
           row->threads == with->threads && row->tokens == with->tokens;
}

/* What the comparison is at: the most threads, then the longest prompts; NULL: nothing. */
static const ExploreRow *
compared_at(const ExploreTable *t, const char *dtype)
{
    const ExploreRow *at = NULL;
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (!explore_is_ok(row) || strcmp(row->dtype, dtype) != 0)
            continue;
        if (!at || row->threads > at->threads ||
            (row->threads == at->threads && row->tokens > at->tokens))
            at = row;
    }
    return at;
}

/* The fastest prefill with so many layers of attention, at the largest state; NULL: none. */
static const ExploreRow *
best_with(const ExploreTable *t, const ExploreRow *at, int64_t attention)
{
    const ExploreRow *best = NULL;
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (!compares(row, at) || row->attention != attention)
            continue;
        if (!best || row->state > best->state ||
            (row->state == best->state && row->prefill_tps > best->prefill_tps))
            best = row;
    }
    return best;
}

/* The next larger number of layers of attention; -1: there is none. */
static int64_t
next_attention(const ExploreTable *t, const ExploreRow *at, int64_t than)
{
    int64_t next = -1;
    for (int i = 0; i < t->nrows; i++) {
        const int64_t n = t->rows[i].attention;
        if (compares(&t->rows[i], at) && n > than && (next < 0 || n < next))
            next = n;
    }
    return next;
}

void
explore_say_attention(StrBuf *out, const ExploreTable *t, const char *dtype)
{
    const ExploreRow *at = compared_at(t, dtype);
    const int64_t first = at ? next_attention(t, at, -1) : -1;
    if (first < 0 || next_attention(t, at, first) < 0)
        return;
    sb_printf(out, "Layers of attention, %s, %lld thread%s, prompts of %lld tokens:", dtype,
              (long long)at->threads, at->threads > 1 ? "s" : "", (long long)at->tokens);
    for (int64_t n = first; n >= 0; n = next_attention(t, at, n)) {
        const ExploreRow *row = best_with(t, at, n);
        sb_printf(out, "%s %lld (", n == first ? "" : ";", (long long)n);
        state_title(out, row->state);
        sb_printf(out, ") %.0f tokens/s, decoding %.1f, state %.2f MiB", row->prefill_tps,
                  row->decode_tps, (double)row->state_bytes / (1 << 20));
    }
    sb_puts(out, ".");
}

/* ---- predictions, and the machine ------------------------------------------------------------ */

void
explore_say_predicted(StrBuf *out, const ExploreTable *t)
{
    Arena *arena = arena_new();
    double *off = arena_array(arena, (size_t)t->nrows + 1, sizeof *off);
    int count = 0;
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (explore_is_ok(row) && row->predicted_tps > 0 && row->prefill_tps > 0)
            off[count++] = fabs(row->prefill_tps / row->predicted_tps - 1);
    }
    if (count > 0) {
        const BenchQuantiles q = bench_quantiles(off, count);
        sb_printf(
            out,
            "Time that the cost model predicts for a prompt, against the time measured: it is off "
            "by %.1f %% in the median of %d points, by %.1f %% at nine in ten, by %.1f %% at "
            "worst.",
            100 * q.median, count, 100 * q.ninth, 100 * q.most);
    }
    arena_free(arena);
}

/* How far the anchor was from its median, from batch to batch. */
static void
say_anchor(StrBuf *out, Arena *arena, const ExploreTable *t)
{
    double *rate = arena_array(arena, (size_t)t->nrows + 1, sizeof *rate);
    int count = 0;
    for (int i = 0; i < t->nrows; i++)
        if (explore_is_ok(&t->rows[i]) && t->rows[i].anchor_tps > 0)
            rate[count++] = t->rows[i].anchor_tps;
    const BenchQuantiles q = count > 0 ? bench_quantiles(rate, count) : (BenchQuantiles){0};
    if (q.least < q.most)
        sb_printf(
            out,
            " The model as described, measured again with every group of points, was between "
            "%.1f %% and %+.1f %% of its median: so much of what lies between state sizes, or "
            "types, may be the machine's.",
            100 * (q.least / q.median - 1), 100 * (q.most / q.median - 1));
}

void
explore_say_noise(StrBuf *out, const ExploreTable *t)
{
    Arena *arena = arena_new();
    double *spread = arena_array(arena, (size_t)t->nrows + 1, sizeof *spread), drift = 0;
    int count = 0;
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (!explore_is_ok(row) || row->repeats < 2)
            continue;
        spread[count++] = row->prefill_spread;
        if (isfinite(row->drift) && fabs(row->drift) > fabs(drift))
            drift = row->drift;
    }
    const BenchQuantiles q = count > 0 ? bench_quantiles(spread, count) : (BenchQuantiles){0};
    if (count == 0)
        sb_puts(out,
                "No point was measured twice: there is no telling how steady the machine was.");
    else
        sb_printf(
            out,
            "Noise: half of the prefill times spread by less than %.1f %%, nine in ten by less "
            "than %.1f %%; the largest drift from the first to the last pass over points "
            "measured in turn is %+.1f %%.",
            100 * q.median, 100 * q.ninth, 100 * drift);
    say_anchor(out, arena, t);
    arena_free(arena);
}
