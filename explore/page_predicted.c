/* explore/page_predicted.c -- what the cost model predicts beside what was measured. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explore/sections.h"

static int
double_order(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool
is_predicted(const ExploreRow *row)
{
    return explore_is_ok(row) && isfinite(row->predicted_tps) && row->predicted_tps > 0 &&
           row->prefill_tps > 0;
}

static void
put_table(Page *page, const ExploreResults *results)
{
    page_table_begin(page, "Table", "tokens of the prompt a second", false);
    page_row(page, NULL);
    page_head_cell(page, "col", "type, state");
    page_head_cell(page, "col", "form");
    page_head_cell(page, "col", "threads");
    page_head_cell(page, "col", "tokens");
    page_head_cell(page, "col", "predicted");
    page_head_cell(page, "col", "measured");
    page_head_cell(page, "col", "time off by");
    page_row_end(page);
    page_body(page);
    for (int i = 0; i < results->table->nrows; i++) {
        const ExploreRow *row = &results->table->rows[i];
        StrBuf name = {0};
        if (!is_predicted(row))
            continue;
        line_title(&name, row->form, row->chunk);
        page_row(page, NULL);
        page_head_cell(page, "row", "%s, N=%lld", row->dtype, (long long)row->state);
        page_cell(page, "%s", sb_text(&name));
        page_cell(page, "%lld", (long long)row->threads);
        page_cell(page, "%lld", (long long)row->tokens);
        page_cell(page, "%.0f", row->predicted_tps);
        page_cell(page, "%.0f", row->prefill_tps);
        page_cell(page, "%+.1f %%", 100 * (row->prefill_tps / row->predicted_tps - 1));
        page_row_end(page);
        sb_free(&name);
    }
    page_table_end(page);
}

static void
put_scatter(Page *page, const ExploreResults *results, double low, double high)
{
    enum { HEIGHT = 300 };
    static const char *const forms[] = {"chunked", "recurrent", "quadratic", "mixed"};
    SvgChart chart;
    const SvgAxis x = svg_log("measured, tokens/s", low / 1.2, high * 1.2);
    const SvgAxis y = svg_log("predicted, tokens/s", low / 1.2, high * 1.2);
    page_figure_begin(page, "Predicted against measured speed");
    page_picture_begin(page, "Predicted against measured speed",
                       "Points on the dashed line are predicted exactly.", HEIGHT);
    svg_axes(&chart, page->out, &x, &y, HEIGHT);
    svg_rule(&chart, x.low, y.low, x.high, y.high);
    for (int i = 0; i < results->table->nrows; i++) {
        const ExploreRow *row = &results->table->rows[i];
        if (!is_predicted(row))
            continue;
        StrBuf name = {0};
        int form = 0;
        while (form < 3 && strcmp(forms[form], row->form) != 0)
            form++;
        line_title(&name, row->form, row->chunk);
        svg_mark(page->out, form, form, svg_x(&chart, row->prefill_tps),
                 svg_y(&chart, row->predicted_tps),
                 arena_printf(page->arena,
                              "%s, N=%lld, %s, %lld tokens: predicted %.0f, measured %.0f",
                              row->dtype, (long long)row->state, sb_text(&name),
                              (long long)row->tokens, row->predicted_tps, row->prefill_tps));
        sb_free(&name);
    }
    svg_end(page->out);
    sb_puts(page->out, "<p class=\"legend\">\n");
    for (int i = 0; i < 2; i++)
        svg_legend(page->out, i, i, false, forms[i]);
    sb_puts(page->out, "</p>\n");
    put_table(page, results);
    page_figure_end(page);
}

void
page_predicted(Page *page, const ExploreResults *results)
{
    const ExploreTable *t = results->table;
    double *off = arena_array(page->arena, (size_t)t->nrows + 1, sizeof *off), low = INFINITY,
           high = 0;
    int count = 0;
    StrBuf text = {0};
    for (int i = 0; i < t->nrows; i++) {
        const ExploreRow *row = &t->rows[i];
        if (!is_predicted(row))
            continue;
        off[count++] = fabs(row->prefill_tps / row->predicted_tps - 1);
        low = fmin(low, fmin(row->prefill_tps, row->predicted_tps));
        high = fmax(high, fmax(row->prefill_tps, row->predicted_tps));
    }
    if (count == 0)
        return;
    qsort(off, (size_t)count, sizeof *off, double_order);
    sb_printf(
        &text,
        "Time that the cost model predicts for a prompt, against the time measured: it is off by "
        "%.1f %% in the median of %d points, by %.1f %% at nine in ten, by %.1f %% at worst.",
        100 * off[count / 2], count, 100 * off[count * 9 / 10], 100 * off[count - 1]);
    page_paragraph(page, &text);
    page_figures_begin(page);
    put_scatter(page, results, low, high);
    page_figures_end(page);
}
