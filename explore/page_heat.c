/* explore/page_heat.c -- what was found, in sentences, and heat maps of speed by chunk and state.
 */
#include <math.h>
#include <string.h>

#include "explore/sections.h"

/* ---- sentences ----------------------------------------------------------------------------- */

static void
put_item(Page *page, StrBuf *text)
{
    sb_puts(page->out, "<li>");
    svg_escape(page->out, sb_text(text));
    sb_puts(page->out, "</li>\n");
    sb_free(text);
}

static void
put_found(Page *page, const ExplorePanel *p)
{
    StrBuf text = {0};
    panel_title(&text, p, true);
    sb_puts(page->out, "<h3>");
    svg_escape(page->out, sb_text(&text));
    sb_puts(page->out, "</h3>\n<ul>\n");
    sb_free(&text);
    explore_say_best(&text, p);
    put_item(page, &text);
    if (p->nstates > 1) {
        explore_say_fall(&text, p);
        explore_say_verdict(&text, p);
        put_item(page, &text);
    }
    sb_puts(page->out, "</ul>\n");
}

void
page_says(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    for (int i = 0; i < results->npanels; i++)
        if (panel_is_main(results, &results->panels[i]))
            put_found(page, &results->panels[i]);
    sb_puts(page->out, "<h3>Choices, and noise</h3>\n<ul>\n");
    explore_say_choices(&text, &results->choices);
    put_item(page, &text);
    explore_say_noise(&text, results->table);
    put_item(page, &text);
    sb_puts(page->out, "</ul>\n");
}

/* ---- a map --------------------------------------------------------------------------------- */

typedef struct {
    const ExplorePanel *p;
    double low, high;                /* of its numbers */
    double left, top, width, height; /* of the first cell */
} Map;

static Map
map_of(const ExplorePanel *p)
{
    enum { LEFT = 64, TOP = 22, ROW = 27 };
    Map m = {.p = p, .low = INFINITY, .left = LEFT, .top = TOP, .height = ROW};
    m.width = (double)(SVG_WIDTH - LEFT - 2) / p->nstates;
    for (int i = 0; i < p->nstates * p->nlines; i++) {
        const ExploreRow *row = p->cells[i];
        if (!row || !explore_is_ok(row))
            continue;
        m.low = fmin(m.low, row->prefill_tps);
        m.high = fmax(m.high, row->prefill_tps);
    }
    return m;
}

static void
put_rect(StrBuf *out, const char *name, double x, double y, double w, double h, double inset)
{
    sb_printf(out,
              "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"",
              name, x + inset, y + inset, w - 2 * inset, h - 2 * inset);
}

static void
put_number(StrBuf *out, const Map *m, const ExploreRow *row, double x, double y, bool over,
           bool best)
{
    enum { ROOM = 26 };
    if (m->width < ROOM)
        return;
    sb_printf(out, "<text class=\"%s%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
              over ? "over" : "", best ? " best" : "", x + m->width / 2, y + m->height / 2 + 4);
    svg_number(out, round(row->prefill_tps));
    sb_puts(out, "</text>\n");
}

static void
put_cell(Page *page, const Map *m, int l, int s)
{
    const ExploreRow *row = panel_at(m->p, l, s);
    const double x = m->left + m->width * s, y = m->top + m->height * l;
    if (!row)
        return;
    if (!explore_is_ok(row)) {
        put_rect(page->out, "void", x, y, m->width, m->height, 1.5);
        sb_puts(page->out, "><title>");
        svg_escape(page->out, row->status);
        sb_puts(page->out, "</title></rect>\n");
        return;
    }
    const double at = m->high > m->low ? (row->prefill_tps - m->low) / (m->high - m->low) : 1;
    const double strength = 0.08 + 0.92 * at;
    StrBuf name = {0};
    line_title(&name, row->form, row->chunk);
    put_rect(page->out, "cell", x, y, m->width, m->height, 0.5);
    sb_printf(page->out,
              " fill-opacity=\"%.2f\"><title>N=%lld, %s: %.0f tokens/s, spread %.1f %%"
              "</title></rect>\n",
              strength, (long long)row->state, sb_text(&name), row->prefill_tps,
              100 * row->prefill_spread);
    sb_free(&name);
    if (row->chosen == 1) {
        put_rect(page->out, "chosen", x, y, m->width, m->height, 2.4);
        sb_puts(page->out, "/>\n");
    }
    put_number(page->out, m, row, x, y, strength > 0.75, row == panel_best(m->p, s, NULL));
}

static void
put_labels(Page *page, const Map *m)
{
    for (int s = 0; s < m->p->nstates; s++)
        sb_printf(page->out, "<text x=\"%.1f\" y=\"15\" text-anchor=\"middle\">%s%lld</text>\n",
                  m->left + m->width * (s + 0.5), s == 0 ? "N=" : "", (long long)m->p->states[s]);
    for (int l = 0; l < m->p->nlines; l++) {
        StrBuf name = {0};
        line_title(&name, m->p->lines[l].form, m->p->lines[l].chunk);
        sb_printf(page->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", m->left - 6,
                  m->top + m->height * (l + 0.5) + 4);
        svg_escape(page->out, sb_text(&name));
        sb_puts(page->out, "</text>\n");
        sb_free(&name);
    }
}

static void
put_table(Page *page, const ExplorePanel *p)
{
    page_table_begin(page, "Table", "tokens a second, and the spread of its time", false);
    page_row(page, NULL);
    page_head_cell(page, "col", "form");
    for (int s = 0; s < p->nstates; s++)
        page_head_cell(page, "col", "N=%lld", (long long)p->states[s]);
    page_row_end(page);
    page_body(page);
    for (int l = 0; l < p->nlines; l++) {
        StrBuf name = {0};
        line_title(&name, p->lines[l].form, p->lines[l].chunk);
        page_row(page, NULL);
        page_head_cell(page, "row", "%s", sb_text(&name));
        sb_free(&name);
        for (int s = 0; s < p->nstates; s++) {
            const ExploreRow *row = panel_at(p, l, s);
            if (row && explore_is_ok(row))
                page_cell(page, "%.0f ± %.1f %%%s", row->prefill_tps, 50 * row->prefill_spread,
                          row->chosen == 1 ? " (chosen)" : "");
            else
                page_cell(page, "%s", row ? row->status : "");
        }
        page_row_end(page);
    }
    page_table_end(page);
}

static void
put_map(Page *page, const ExplorePanel *p)
{
    const Map m = map_of(p);
    StrBuf title = {0}, desc = {0};
    panel_title(&title, p, true);
    explore_say_best(&desc, p);
    const char *caption = page_keep(page, &title);
    page_figure_begin(page, caption);
    page_picture_begin(page, arena_printf(page->arena, "Tokens a second: %s", caption),
                       page_keep(page, &desc), m.top + m.height * p->nlines + 4);
    put_labels(page, &m);
    for (int l = 0; l < p->nlines; l++)
        for (int s = 0; s < p->nstates; s++)
            put_cell(page, &m, l, s);
    svg_end(page->out);
    put_table(page, p);
    page_figure_end(page);
}

void
page_heat(Page *page, const ExploreResults *results)
{
    StrBuf text = {0};
    sb_puts(&text,
            "Tokens of the prompt a second. Stronger colour is faster; a frame marks the form and "
            "chunk length that the compiler takes by itself, bold underlined numbers the fastest "
            "of each state size N.");
    page_paragraph(page, &text);
    page_figures_begin(page);
    for (int i = 0; i < results->npanels; i++)
        put_map(page, &results->panels[i]);
    page_figures_end(page);
}
