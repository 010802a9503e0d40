/* explore/curves.c -- figures of curves (explore/curves.h). */
#include "explore/curves.h"

#include <math.h>

enum { HEIGHT = 250 };

void
curve_add(Curve *c, double x, double y, const char *title)
{
    c->points[c->count++] = (SvgPoint){x, y, title};
}

Curve
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

void
curves_figure(Page *page, const CurveFigure *f, const SvgAxis *x, const SvgAxis *y,
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

double
curves_highest(const Curve *curves, int count)
{
    double high = 0;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < curves[i].count; k++)
            high = fmax(high, curves[i].points[k].y);
    return high;
}

double
curves_lowest(const Curve *curves, int count)
{
    double low = INFINITY;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < curves[i].count; k++)
            low = fmin(low, curves[i].points[k].y);
    return low;
}
