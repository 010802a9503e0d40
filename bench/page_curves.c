/* bench/page_curves.c -- speed against state size and length, memory against length. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/page.h"

enum { HEIGHT = 250 };

/* Lines of one chart. */
typedef struct {
    const char *name;
    SvgPoint *points;
    int count, series;
} Curve;

static void
curve_add(Curve *c, double x, double y, const char *title)
{
    c->points[c->count++] = (SvgPoint){x, y, title};
}

static Curve
curve_new(Page *page, const char *name, int series, int most)
{
    return (Curve){.name = name,
                   .series = series,
                   .points = arena_array(page->arena, (size_t)most + 1, sizeof(SvgPoint))};
}

static void
put_curves(Page *page, SvgChart *chart, const Curve *curves, int count)
{
    for (int i = 0; i < count; i++)
        if (curves[i].count > 0)
            svg_line(chart, curves[i].series, curves[i].points, curves[i].count);
    svg_end(page->out);
    sb_puts(page->out, "<p class=\"legend\">\n");
    for (int i = 0; i < count; i++)
        if (curves[i].count > 0)
            svg_legend(page->out, curves[i].series, curves[i].series, true, curves[i].name);
    sb_puts(page->out, "</p>\n");
}

/* x down, a column a curve. */
static void
put_table(Page *page, const char *caption, const char *x, const Curve *curves, int count)
{
    page_table_begin(page, "Table", caption, false);
    page_row(page, NULL);
    page_head_cell(page, "col", "%s", x);
    for (int i = 0; i < count; i++)
        page_head_cell(page, "col", "%s", curves[i].name);
    page_row_end(page);
    page_body(page);
    for (double at = 0, next;; at = next) {
        next = INFINITY;
        for (int i = 0; i < count; i++)
            for (int k = 0; k < curves[i].count; k++)
                if (curves[i].points[k].x > at && curves[i].points[k].x < next)
                    next = curves[i].points[k].x;
        if (!isfinite(next))
            break;
        page_row(page, NULL);
        page_head_cell(page, "row", "%.0f", next);
        for (int i = 0; i < count; i++) {
            int k = 0;
            while (k < curves[i].count && curves[i].points[k].x < next)
                k++;
            if (k < curves[i].count && curves[i].points[k].x == next)
                page_cell(page, "%.5g", curves[i].points[k].y);
            else
                page_cell(page, "%s", "");
        }
        page_row_end(page);
    }
    page_table_end(page);
}

typedef struct {
    const char *caption, *title, *desc; /* title and desc: of the picture */
    const char *table, *key;            /* caption of the table, and what its rows are */
} CurveFigure;

static void
put_figure(Page *page, const CurveFigure *f, const SvgAxis *x, const SvgAxis *y,
           const Curve *curves, int count)
{
    SvgChart chart;
    page_figure_begin(page, f->caption);
    page_picture_begin(page, f->title, f->desc, HEIGHT);
    svg_axes(&chart, page->out, x, y, HEIGHT);
    put_curves(page, &chart, curves, count);
    put_table(page, f->table, f->key, curves, count);
    page_figure_end(page);
}

static double
highest(const Curve *curves, int count)
{
    double high = 0;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < curves[i].count; k++)
            high = fmax(high, curves[i].points[k].y);
    return high;
}

/* ---- states -------------------------------------------------------------------------------- */

static const char *
rate_title(Page *page, const ExploreRow *row, double rate)
{
    StrBuf name = {0};
    line_title(&name, row->form, row->chunk);
    const char *form = page_keep(page, &name);
    return arena_printf(page->arena, "N=%lld, %s, %lld tokens: %.5g tokens/s",
                        (long long)row->state, form, (long long)row->tokens, rate);
}

/* Chunks at their best, and the recurrence. */
static void
put_states(Page *page, const ExplorePanel *p)
{
    static const char *const forms[] = {"chunked", "recurrent", "quadratic"};
    static const char *const names[] = {"chunked, best Q", "recurrent", "quadratic"};
    enum { FORMS = 3 };
    Curve curves[FORMS];
    StrBuf title = {0}, desc = {0};
    for (int f = 0; f < FORMS; f++) {
        curves[f] = curve_new(page, names[f], f, p->nstates);
        for (int s = 0; s < p->nstates; s++) {
            const ExploreRow *row = panel_best(p, s, forms[f]);
            if (row)
                curve_add(&curves[f], (double)row->state, row->prefill_tps,
                          rate_title(page, row, row->prefill_tps));
        }
    }
    const int shown = curves[2].count > 0 ? FORMS : FORMS - 1;
    const SvgAxis x = svg_values("state size N", p->states, p->nstates);
    const SvgAxis y = svg_linear("prompt tokens/s", highest(curves, shown));
    panel_title(&title, p, true);
    explore_say_fall(&desc, p);
    const char *caption = page_keep(page, &title);
    const CurveFigure figure = {caption,
                                arena_printf(page->arena, "Speed against state size: %s", caption),
                                page_keep(page, &desc), "tokens of the prompt a second", "N"};
    put_figure(page, &figure, &x, &y, curves, shown);
}

/* Every type's decoding in one chart. */
static void
put_decoding(Page *page)
{
    enum { MOST = SVG_SERIES };
    Curve curves[MOST];
    const ExplorePanel *first = NULL;
    int count = 0;
    for (int i = 0; i < page->npanels && count < MOST; i++) {
        const ExplorePanel *p = &page->panels[i];
        StrBuf name = {0};
        if (!page_is_main(page, p))
            continue;
        first = first ? first : p;
        panel_title(&name, p, false);
        curves[count] = curve_new(page, page_keep(page, &name), count, p->nstates);
        for (int s = 0; s < p->nstates; s++) {
            const ExploreRow *row = panel_best(p, s, NULL);
            if (row)
                curve_add(&curves[count], (double)row->state, row->decode_tps,
                          rate_title(page, row, row->decode_tps));
        }
        count++;
    }
    if (!first || highest(curves, count) <= 0)
        return;
    const SvgAxis x = svg_values("state size N", first->states, first->nstates);
    const SvgAxis y = svg_linear("tokens decoded/s", highest(curves, count));
    const CurveFigure figure = {"Decoding, one sequence", "Speed of decoding against state size",
                                "Decoding takes the recurrent form whatever the prompt took.",
                                "tokens decoded a second", "N"};
    put_figure(page, &figure, &x, &y, curves, count);
}

void
page_states(Page *page)
{
    StrBuf text = {0};
    bool any = false;
    for (int i = 0; i < page->npanels; i++)
        any = any || page->panels[i].nstates > 1;
    if (!any)
        return;
    sb_puts(
        &text,
        "The Mamba-2 paper's chunked form makes a bigger state cheap where matrix products are; "
        "the "
        "recurrent form pays for every element of it. Decoding takes the recurrent form whatever "
        "the prompt took.");
    page_paragraph(page, &text);
    sb_puts(page->out, "<div class=\"figures\">\n");
    for (int i = 0; i < page->npanels; i++)
        if (page->panels[i].nstates > 1)
            put_states(page, &page->panels[i]);
    put_decoding(page);
    sb_puts(page->out, "</div>\n");
}

/* ---- lengths ------------------------------------------------------------------------------- */

static bool
differ_in_tokens(const ExplorePanel *a, const ExplorePanel *b)
{
    return strcmp(a->key->dtype, b->key->dtype) == 0 && a->key->head_dim == b->key->head_dim &&
           a->key->groups == b->key->groups && a->key->threads == b->key->threads;
}

/* What is fastest at each length of the panels like `of`, a curve for each of its states. */
static void
put_lengths(Page *page, const ExplorePanel *of)
{
    enum { MOST = SVG_SERIES };
    Curve curves[MOST];
    int64_t lengths[SVG_MOST_TICKS];
    int count = 0, nlengths = 0;
    StrBuf title = {0};
    for (; count < of->nstates && count < MOST; count++)
        curves[count] =
            curve_new(page, arena_printf(page->arena, "N=%lld", (long long)of->states[count]),
                      count, page->npanels);
    for (int i = 0; i < page->npanels && nlengths < SVG_MOST_TICKS; i++) {
        const ExplorePanel *p = &page->panels[i];
        if (!differ_in_tokens(p, of))
            continue;
        lengths[nlengths++] = p->key->tokens;
        for (int s = 0; s < p->nstates && s < count; s++) {
            const ExploreRow *row = panel_best(p, s, NULL);
            if (row)
                curve_add(&curves[s], (double)row->tokens, row->prefill_tps,
                          rate_title(page, row, row->prefill_tps));
        }
    }
    const SvgAxis x = svg_values("tokens of the prompt", lengths, nlengths);
    const SvgAxis y = svg_linear("prompt tokens/s", highest(curves, count));
    panel_title(&title, of, false);
    const char *caption = page_keep(page, &title);
    const CurveFigure figure = {
        caption, arena_printf(page->arena, "Speed against length: %s", caption),
        "The fastest form and chunk length of each state size at each length.",
        "tokens of the prompt a second, fastest form", "tokens"};
    put_figure(page, &figure, &x, &y, curves, count);
}

void
page_lengths(Page *page)
{
    bool any = false;
    for (int i = 1; i < page->npanels; i++)
        any = any || page->panels[i].key->tokens != page->panels[0].key->tokens;
    if (!any)
        return;
    sb_puts(page->out, "<div class=\"figures\">\n");
    for (int i = 0; i < page->npanels; i++) {
        int first = 0;
        while (!differ_in_tokens(&page->panels[first], &page->panels[i]))
            first++;
        if (first == i)
            put_lengths(page, &page->panels[i]);
    }
    sb_puts(page->out, "</div>\n");
}

/* ---- memory -------------------------------------------------------------------------------- */

static int
layers_of(const ExploreRow *row)
{
    static const char key[] = "prefill:ssd:";
    const char *at = strstr(row->kernels, key);
    const long count = at ? strtol(at + strlen(key), NULL, 10) : 0;
    return count > 0 && count < 1 << 16 ? (int)count : 0;
}

/* Beyond parameters: the state and what passes work in, the same at any length; beside it what
 * grows with the length elsewhere. */
static void
put_memory(Page *page, const ExplorePanel *p)
{
    enum { MOST = SVG_SERIES - 1, LENGTHS = 5 };
    static const int64_t lengths[LENGTHS] = {256, 1024, 4096, 16384, 65536};
    Curve curves[MOST + 1];
    int count = 0, layers = 0;
    double low = INFINITY, inner = 0;
    StrBuf title = {0};
    for (int s = 0; s < p->nstates && count < MOST; s++) {
        const ExploreRow *row = panel_best(p, s, NULL);
        if (!row)
            continue;
        const double bytes = (double)(row->memory_bytes - row->weight_bytes);
        Curve *c = &curves[count];
        *c = curve_new(page, arena_printf(page->arena, "N=%lld", (long long)row->state), count,
                       LENGTHS);
        count++;
        for (int i = 0; i < LENGTHS; i++)
            curve_add(c, (double)lengths[i], bytes / (1 << 20),
                      arena_printf(page->arena, "N=%lld: %.1f MiB, of it %.2f the state",
                                   (long long)row->state, bytes / (1 << 20),
                                   (double)row->state_bytes / (1 << 20)));
        low = fmin(low, bytes / (1 << 20));
        layers = layers_of(row) ? layers_of(row) : layers;
        inner = (double)(row->heads * row->head_dim);
    }
    if (count == 0)
        return;
    curves[count] =
        curve_new(page, "keys and values of attention, bf16 (computed)", SVG_SERIES - 1, LENGTHS);
    for (int i = 0; i < LENGTHS && layers > 0; i++) {
        const double mib = 4 * inner * layers * (double)lengths[i] / (1 << 20);
        curve_add(&curves[count], (double)lengths[i], mib,
                  arena_printf(page->arena, "keys and values of %lld tokens: %.0f MiB",
                               (long long)lengths[i], mib));
        low = fmin(low, mib);
    }
    const int shown = count + (layers > 0);
    const SvgAxis x = svg_values("tokens read", lengths, LENGTHS);
    const SvgAxis y = svg_log("MiB beyond the weights", low / 2, 2 * highest(curves, shown));
    panel_title(&title, p, false);
    const char *caption = page_keep(page, &title);
    const CurveFigure figure = {
        caption, arena_printf(page->arena, "Memory against length: %s", caption),
        "State and activations of one sequence do not grow with its length.", "MiB", "tokens"};
    put_figure(page, &figure, &x, &y, curves, shown);
}

void
page_memory(Page *page)
{
    StrBuf text = {0};
    sb_puts(&text,
            "What one sequence takes beyond the weights, as planned before anything is taken: its "
            "state, and the activations of one pass. Neither grows with the length. Beside it, "
            "for scale, what keys and values of attention of the same inner width in as many "
            "layers would take.");
    page_paragraph(page, &text);
    sb_puts(page->out, "<div class=\"figures\">\n");
    for (int i = 0; i < page->npanels; i++)
        if (page_is_main(page, &page->panels[i]))
            put_memory(page, &page->panels[i]);
    sb_puts(page->out, "</div>\n");
}
