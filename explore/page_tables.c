/* explore/page_tables.c -- the sections of the page that are tables: choices, errors, points
 * without numbers, everything, the machine and the method. */
#include <math.h>
#include <string.h>

#include "explore/sections.h"

static void
point_cells(Page *page, const ExploreRow *row)
{
    page_head_cell(page, "row", "%s, N=%lld", row->dtype, (long long)row->state);
    page_cell(page, "%lld", (long long)row->head_dim);
    page_cell(page, "%lld", (long long)row->groups);
    page_cell(page, "%lld", (long long)row->threads);
    page_cell(page, "%lld", (long long)row->tokens);
}

static void
point_heads(Page *page)
{
    static const char *const names[] = {"type, state", "P", "G", "threads", "tokens"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        page_head_cell(page, "col", "%s", names[i]);
}

static const char *
line_text(Page *page, const ExploreRow *row)
{
    StrBuf text = {0};
    line_title(&text, row->form, row->chunk);
    return page_keep(page, &text);
}

/* ---- choices ------------------------------------------------------------------------------- */

void
page_choices(Page *page, const ExploreResults *results)
{
    const ExploreChoices *c = &results->choices;
    StrBuf text = {0};
    if (c->count == 0)
        return;
    explore_say_choices(&text, c);
    sb_puts(&text,
            c->within5 < c->count ? " What is more than 5 % behind is marked as a miss." : "");
    page_paragraph(page, &text);
    page_table_begin(page, "Every choice, the worst first", "the compiler's choice and the fastest",
                     true);
    page_row(page, NULL);
    point_heads(page);
    page_head_cell(page, "col", "chosen");
    page_head_cell(page, "col", "tokens/s");
    page_head_cell(page, "col", "fastest");
    page_head_cell(page, "col", "tokens/s");
    page_head_cell(page, "col", "behind");
    page_row_end(page);
    page_body(page);
    for (int i = 0; i < c->count; i++) {
        const ExploreMiss *m = &c->all[i];
        page_row(page, m->behind > 0.05 ? "miss" : NULL);
        point_cells(page, m->chosen);
        page_cell(page, "%s", line_text(page, m->chosen));
        page_cell(page, "%.0f", m->chosen->prefill_tps);
        page_cell(page, "%s", line_text(page, m->best));
        page_cell(page, "%.0f", m->best->prefill_tps);
        page_cell(page, "%.1f %%%s", 100 * m->behind, m->behind > 0.05 ? " miss" : "");
        page_row_end(page);
    }
    page_table_end(page);
}

/* ---- errors -------------------------------------------------------------------------------- */

/* The least and the greatest error of a panel's forms and chunk lengths. */
static void
put_error(Page *page, const ExplorePanel *p)
{
    for (int s = 0; s < p->nstates; s++) {
        const ExploreRow *least = NULL, *most = NULL;
        for (int l = 0; l < p->nlines; l++) {
            const ExploreRow *row = panel_at(p, l, s);
            if (!row || !isfinite(row->error))
                continue;
            least = !least || row->error < least->error ? row : least;
            most = !most || row->error > most->error ? row : most;
        }
        if (!most)
            continue;
        page_row(page, NULL);
        page_head_cell(page, "row", "%s, N=%lld", most->dtype, (long long)most->state);
        page_cell(page, "%.3g (%s)", least->error, line_text(page, least));
        page_cell(page, "%.3g (%s)", most->error, line_text(page, most));
        page_cell(page, "%lld", (long long)most->error_tokens);
        page_row_end(page);
    }
}

void
page_error(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    bool any = false;
    for (int i = 0; i < results->table->nrows; i++)
        any = any || isfinite(results->table->rows[i].error);
    if (!any)
        return;
    sb_puts(
        &text,
        "Root mean square of what logits differ by from the float64 interpreter's, over that of "
        "these. So that the interpreter takes about a second, it is not the model itself but a "
        "copy with one layer of each kind, a vocabulary of 256 and random weights, on one "
        "prompt that is longer than the longest chunk.");
    page_paragraph(page, &text);
    page_table_begin(page, "Errors by type and state",
                     "relative error of logits, over forms and chunk lengths", true);
    page_row(page, NULL);
    page_head_cell(page, "col", "type, state");
    page_head_cell(page, "col", "least");
    page_head_cell(page, "col", "greatest");
    page_head_cell(page, "col", "tokens");
    page_row_end(page);
    page_body(page);
    for (int i = 0; i < results->npanels; i++)
        if (panel_is_main(results, &results->panels[i]))
            put_error(page, &results->panels[i]);
    page_table_end(page);
}

/* ---- points without numbers ---------------------------------------------------------------- */

void
page_missing(Page *page, const ExploreResults *results)
{
    const ExploreTable *t = results->table;
    int count = 0;
    for (int i = 0; i < t->nrows; i++)
        count += !explore_is_ok(&t->rows[i]);
    if (count == 0)
        return;
    page_table_begin(page, arena_printf(page->arena, "%d of %d points", count, t->nrows),
                     "points without numbers, and why", false);
    page_row(page, NULL);
    point_heads(page);
    page_head_cell(page, "col", "form");
    page_head_cell(page, "col", "status");
    page_head_cell(page, "col", "why");
    page_row_end(page);
    page_body(page);
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (explore_is_ok(row))
            continue;
        page_row(page, NULL);
        point_cells(page, row);
        page_cell(page, "%s", line_text(page, row));
        page_cell(page, "%s", row->status);
        page_text_cell(page, row->why);
        page_row_end(page);
    }
    page_table_end(page);
}

/* ---- everything ---------------------------------------------------------------------------- */

static void
put_value(Page *page, const ExploreRow *row, ColumnId id)
{
    const void *at = (const char *)row + column_info[id].offset;
    switch (column_info[id].kind) {
    case COLUMN_INT:
        if (*(const int64_t *)at >= 0)
            page_cell(page, "%lld", (long long)*(const int64_t *)at);
        else
            page_cell(page, "%s", "");
        return;
    case COLUMN_NUM:
        if (isfinite(*(const double *)at))
            page_cell(page, "%.5g", *(const double *)at);
        else
            page_cell(page, "%s", "");
        return;
    case COLUMN_TEXT:
        page_text_cell(page, *(const char *const *)at);
        return;
    }
}

/* All columns but the kernels', which are in tables of their own. */
void
page_all(Page *page, const ExploreResults *results)
{
    const ExploreTable *t = results->table;
    page_table_begin(page,
                     arena_printf(page->arena, "%d rows, as in the file of results", t->nrows),
                     "results", false);
    page_row(page, NULL);
    for (int id = 0; id < COLUMN_kernels; id++)
        page_head_cell(page, "col", "%s", column_info[id].name);
    page_row_end(page);
    page_body(page);
    for (int i = 0; i < t->nrows; i++) {
        page_row(page, NULL);
        for (int id = 0; id < COLUMN_kernels; id++)
            put_value(page, &t->rows[i], (ColumnId)id);
        page_row_end(page);
    }
    page_table_end(page);
}

/* ---- machine and method --------------------------------------------------------------------- */

static void
put_ceilings(Page *page, const ExploreResults *results)
{
    const ExploreTable *t = results->table;
    page_table_begin(page, "Ceilings",
                     "what the machine can do at most, by emitted probes, as the run began", true);
    page_row(page, NULL);
    page_head_cell(page, "col", "threads");
    page_head_cell(page, "col", "f32, GFLOP/s");
    page_head_cell(page, "col", "bf16, GFLOP/s");
    page_head_cell(page, "col", "int8, GOP/s");
    page_head_cell(page, "col", "memory read, GB/s");
    page_head_cell(page, "col", "read + write, GB/s");
    page_head_cell(page, "col", "L1, GB/s");
    page_head_cell(page, "col", "L2, GB/s");
    page_row_end(page);
    page_body(page);
    for (int i = 0; i < t->nceilings; i++) {
        const BenchCeilings *c = &t->ceilings[i];
        page_row(page, NULL);
        page_head_cell(page, "row", "%d", c->threads);
        page_cell(page, "%.0f", c->f32.median);
        page_cell(page, "%.0f", c->bf16.median);
        page_cell(page, "%.0f", c->i8.median);
        page_cell(page, "%.1f", c->read.median);
        page_cell(page, "%.1f", c->update.median);
        page_cell(page, "%.0f", c->l1.median);
        page_cell(page, "%.0f", c->l2.median);
        page_row_end(page);
    }
    page_table_end(page);
}

static void
put_columns(Page *page)
{
    sb_puts(page->out, "<details>\n<summary>What the columns mean</summary>\n<dl>\n");
    for (int id = 0; id < COLUMN_COUNT; id++) {
        sb_puts(page->out, "<dt>");
        svg_escape(page->out, column_info[id].name);
        sb_puts(page->out, "</dt><dd>");
        svg_escape(page->out, column_info[id].doc);
        sb_puts(page->out, "</dd>\n");
    }
    sb_puts(page->out, "</dl>\n</details>\n");
}

void
page_method(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    sb_puts(page->out, "<dl>\n");
    for (int id = 0; id < HEAD_COUNT; id++) {
        sb_puts(page->out, "<dt>");
        svg_escape(page->out, head_info[id].doc);
        sb_puts(page->out, "</dt><dd>");
        svg_escape(page->out, results->table->head[id]);
        sb_puts(page->out, "</dd>\n");
    }
    sb_puts(page->out, "</dl>\n");
    sb_puts(
        &text,
        "Points that share sizes and type share their packed weights. All of them are compiled, "
        "then "
        "measured in turn, pass after pass, every other pass backwards: a machine that slows down "
        "slows all alike. Numbers are medians; the machine's ceilings are probed again before and "
        "after each measurement, and shares are of what was probed there.");
    page_paragraph(page, &text);
    put_ceilings(page, results);
    put_columns(page);
}
