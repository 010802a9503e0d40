/* explore/page_curves.c -- speed against state size and length, memory against length. */
#include <stdlib.h>
#include <string.h>

#include "explore/curves.h"
#include "explore/sections.h"

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
    const SvgAxis y = svg_linear("prompt tokens/s", curves_highest(curves, shown));
    panel_title(&title, p, true);
    explore_say_fall(&desc, p);
    const char *caption = page_keep(page, &title);
    const CurveFigure figure = {caption,
                                arena_printf(page->arena, "Speed against state size: %s", caption),
                                page_keep(page, &desc), "tokens of the prompt a second", "N"};
    curves_figure(page, &figure, &x, &y, curves, shown);
}

/* Every type's decoding in one chart. */
static void
put_decoding(Page *page, const ExploreResults *results)
{
    enum { MOST = SVG_SERIES };
    Curve curves[MOST];
    const ExplorePanel *first = NULL;
    int count = 0;
    for (int i = 0; i < results->npanels && count < MOST; i++) {
        const ExplorePanel *p = &results->panels[i];
        StrBuf name = {0};
        if (!panel_is_main(results, p))
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
    if (!first || curves_highest(curves, count) <= 0)
        return;
    const SvgAxis x = svg_values("state size N", first->states, first->nstates);
    const SvgAxis y = svg_linear("tokens decoded/s", curves_highest(curves, count));
    const CurveFigure figure = {"Decoding, one sequence", "Speed of decoding against state size",
                                "Decoding takes the recurrent form whatever the prompt took.",
                                "tokens decoded a second", "N"};
    curves_figure(page, &figure, &x, &y, curves, count);
}

void
page_states(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    bool any = false;
    for (int i = 0; i < results->npanels; i++)
        any = any || results->panels[i].nstates > 1;
    if (!any)
        return;
    sb_puts(
        &text,
        "The Mamba-2 paper's chunked form makes a bigger state cheap where matrix products are; "
        "the "
        "recurrent form pays for every element of it. Decoding takes the recurrent form whatever "
        "the prompt took.");
    page_paragraph(page, &text);
    page_figures_begin(page);
    for (int i = 0; i < results->npanels; i++)
        if (results->panels[i].nstates > 1)
            put_states(page, &results->panels[i]);
    put_decoding(page, results);
    page_figures_end(page);
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
put_lengths(Page *page, const ExploreResults *results, const ExplorePanel *of)
{
    enum { MOST = SVG_SERIES };
    Curve curves[MOST];
    int64_t lengths[SVG_MOST_TICKS];
    int count = 0, nlengths = 0;
    StrBuf title = {0};
    for (; count < of->nstates && count < MOST; count++)
        curves[count] =
            curve_new(page, arena_printf(page->arena, "N=%lld", (long long)of->states[count]),
                      count, results->npanels);
    for (int i = 0; i < results->npanels && nlengths < SVG_MOST_TICKS; i++) {
        const ExplorePanel *p = &results->panels[i];
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
    const SvgAxis y = svg_linear("prompt tokens/s", curves_highest(curves, count));
    panel_title(&title, of, false);
    const char *caption = page_keep(page, &title);
    const CurveFigure figure = {
        caption, arena_printf(page->arena, "Speed against length: %s", caption),
        "The fastest form and chunk length of each state size at each length.",
        "tokens of the prompt a second, fastest form", "tokens"};
    curves_figure(page, &figure, &x, &y, curves, count);
}

void
page_lengths(Page *page, const ExploreResults *results)
{
    bool any = false;
    for (int i = 1; i < results->npanels; i++)
        any = any || results->panels[i].key->tokens != results->panels[0].key->tokens;
    if (!any)
        return;
    page_figures_begin(page);
    for (int i = 0; i < results->npanels; i++) {
        int first = 0;
        while (!differ_in_tokens(&results->panels[first], &results->panels[i]))
            first++;
        if (first == i)
            put_lengths(page, results, &results->panels[i]);
    }
    page_figures_end(page);
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
    double inner = 0;
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
    }
    const int shown = count + (layers > 0);
    const SvgAxis x = svg_values("tokens read", lengths, LENGTHS);
    const SvgAxis y = svg_log("MiB beyond the weights", curves_lowest(curves, shown) / 2,
                              2 * curves_highest(curves, shown));
    panel_title(&title, p, false);
    const char *caption = page_keep(page, &title);
    const CurveFigure figure = {
        caption, arena_printf(page->arena, "Memory against length: %s", caption),
        "State and activations of one sequence do not grow with its length.", "MiB", "tokens"};
    curves_figure(page, &figure, &x, &y, curves, shown);
}

void
page_memory(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    sb_puts(&text,
            "What one sequence takes beyond the weights, as planned before anything is taken: its "
            "state, and the activations of one pass. Neither grows with the length. Beside it, "
            "for scale, what keys and values of attention of the same inner width in as many "
            "layers would take.");
    page_paragraph(page, &text);
    page_figures_begin(page);
    for (int i = 0; i < results->npanels; i++)
        if (panel_is_main(results, &results->panels[i]))
            put_memory(page, &results->panels[i]);
    page_figures_end(page);
}
