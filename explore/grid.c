/* explore/grid.c -- results as grids: states across, forms and chunk lengths down. */
#include <stdlib.h>
#include <string.h>

#include "explore/explore.h"

static bool
same_grid(const ExploreRow *a, const ExploreRow *b)
{
    return a->head_dim == b->head_dim && a->groups == b->groups && a->attention == b->attention &&
           a->threads == b->threads && a->tokens == b->tokens && strcmp(a->dtype, b->dtype) == 0;
}

static int
state_of(const ExploreGrid *p, int64_t state)
{
    int i = 0;
    while (i < p->nstates && p->states[i] != state)
        i++;
    return i;
}

static int
line_of(const ExploreGrid *p, const ExploreRow *row)
{
    int i = 0;
    while (i < p->nlines &&
           (p->lines[i].chunk != row->chunk || strcmp(p->lines[i].form, row->form) != 0))
        i++;
    return i;
}

/* The chunked form first, by its length; the others by name, the recurrent last. */
static int
line_order(const void *a, const void *b)
{
    const ExploreLine *x = a, *y = b;
    const bool cx = x->chunk > 0, cy = y->chunk > 0;
    if (cx != cy)
        return cx ? -1 : 1;
    if (cx)
        return (x->chunk > y->chunk) - (x->chunk < y->chunk);
    return strcmp(x->form, y->form);
}

static void
grid_fill(Arena *arena, ExploreGrid *p, const ExploreTable *t)
{
    p->states = arena_array(arena, (size_t)t->nrows, sizeof *p->states);
    p->lines = arena_array(arena, (size_t)t->nrows, sizeof *p->lines);
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (!same_grid(row, p->key))
            continue;
        if (state_of(p, row->state) == p->nstates)
            p->states[p->nstates++] = row->state;
        if (line_of(p, row) == p->nlines)
            p->lines[p->nlines++] = (ExploreLine){row->form, row->chunk};
    }
    qsort(p->states, (size_t)p->nstates, sizeof *p->states, int64_order);
    qsort(p->lines, (size_t)p->nlines, sizeof *p->lines, line_order);
    p->cells = arena_array(arena, (size_t)p->nstates * (size_t)p->nlines, sizeof *p->cells);
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (same_grid(row, p->key))
            p->cells[line_of(p, row) * p->nstates + state_of(p, row->state)] = row;
    }
}

int
explore_grids(Arena *arena, const ExploreTable *t, ExploreGrid **out)
{
    int count = 0;
    *out = arena_array(arena, (size_t)t->nrows + 1, sizeof **out);
    for (int i = 0; i < t->nrows; i++) {
        int k = 0;
        while (k < count && !same_grid((*out)[k].key, &t->rows[i]))
            k++;
        if (k == count)
            (*out)[count++].key = &t->rows[i];
    }
    for (int k = 0; k < count; k++)
        grid_fill(arena, &(*out)[k], t);
    return count;
}

const ExploreRow *
grid_at(const ExploreGrid *p, int line, int state)
{
    return p->cells[line * p->nstates + state];
}

const ExploreRow *
grid_best(const ExploreGrid *p, int state, const char *form)
{
    const ExploreRow *best = NULL;
    for (int l = 0; l < p->nlines; l++) {
        const ExploreRow *row = grid_at(p, l, state);
        if (row && explore_is_ok(row) && (!form || strcmp(row->form, form) == 0) &&
            (!best || row->prefill_tps > best->prefill_tps))
            best = row;
    }
    return best;
}

const ExploreRow *
grid_chosen(const ExploreGrid *p, int state)
{
    for (int l = 0; l < p->nlines; l++) {
        const ExploreRow *row = grid_at(p, l, state);
        if (row && row->chosen == 1 && explore_is_ok(row))
            return row;
    }
    return NULL;
}

bool
grid_is_main(const ExploreGrid *grids, int count, int which)
{
    const ExploreRow *a = grids[which].key;
    for (int i = 0; i < count; i++) {
        const ExploreRow *b = grids[i].key;
        if (strcmp(a->dtype, b->dtype) != 0 || a->head_dim != b->head_dim ||
            a->groups != b->groups || a->attention != b->attention)
            continue;
        if (b->threads > a->threads || (b->threads == a->threads && b->tokens > a->tokens))
            return false;
    }
    return true;
}

void
grid_title(StrBuf *out, const ExploreGrid *p, bool tokens)
{
    sb_puts(out, p->key->dtype);
    if (p->key->head_dim > 0)
        sb_printf(out, ", P=%lld, G=%lld", (long long)p->key->head_dim, (long long)p->key->groups);
    if (p->key->attention > 0)
        sb_printf(out, ", %lld of attention", (long long)p->key->attention);
    sb_printf(out, ", %lld thread%s", (long long)p->key->threads, p->key->threads > 1 ? "s" : "");
    if (tokens)
        sb_printf(out, ", prompts of %lld tokens", (long long)p->key->tokens);
}

void
state_title(StrBuf *out, int64_t state)
{
    if (state > 0)
        sb_printf(out, "N=%lld", (long long)state);
    else
        sb_puts(out, "no SSD");
}

void
line_title(StrBuf *out, const char *form, int64_t chunk)
{
    if (chunk > 0)
        sb_printf(out, "Q=%lld", (long long)chunk);
    else
        sb_puts(out, form);
}
