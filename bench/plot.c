/* bench/plot.c -- line charts as SVG inside a page of HTML (bench/plot.h). */
#include "bench/plot.h"

#include <math.h>

#include "bench/svg.h"

enum { WIDTH = 640, HEIGHT = 360, LEFT = 64, RIGHT = 16, TOP = 16, BOTTOM = 48 };

/* ---- the page ----------------------------------------------------------------------------- */

/* Colours that differ for eyes that see few (Okabe and Ito), darker on white. */
static const char style[] =
    ":root{--back:#fff;--ink:#1b1b1f;--soft:#62626b;--rule:#dcdce2;"
    "--c0:#0063a3;--c1:#c34a00;--c2:#007a57;--c3:#a03c86;--c4:#8a6a00;--c5:#3f3f46}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#16161a;--ink:#ececf1;--soft:#a5a5b0;"
    "--rule:#35353d;--c0:#58b4f0;--c1:#ff9a57;--c2:#3ccfa0;--c3:#e29ad0;--c4:#e6c34d;"
    "--c5:#c9c9d1}}\n"
    "@media print{:root{--back:#fff;--ink:#000;--soft:#444;--rule:#ccc}details{display:block}}\n"
    "body{background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif;"
    "max-width:44rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem;line-height:1.25}h2{font-size:1.1rem;margin:2.5rem 0 .25rem}"
    "figure{margin:0}svg{width:100%;height:auto;display:block}\n"
    "svg text{fill:var(--soft);font:12px system-ui,sans-serif}"
    ".rule{stroke:var(--rule)}.line{fill:none;stroke-width:2}\n"
    "ul.key{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.25rem "
    "0}"
    "ul.key svg{width:1.75rem;height:.875rem;display:inline-block;vertical-align:middle;"
    "margin-right:.35rem}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;"
    "font-size:.875rem}th,td{padding:.2rem .7rem;text-align:right;"
    "border-bottom:1px solid var(--rule)}th:first-child{text-align:left}"
    "summary{cursor:pointer;color:var(--soft)}\n";

void
plot_page_begin(StrBuf *out, const char *title)
{
    sb_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                 "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    svg_escape(out, title);
    sb_printf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", style);
    svg_escape(out, title);
    sb_puts(out, "</h1>\n");
}

void
plot_page_end(StrBuf *out)
{
    sb_puts(out, "</body>\n</html>\n");
}

/* ---- axes -------------------------------------------------------------------------------- */

typedef struct {
    const Plot *chart;
    double x_low, x_high; /* log2 */
    double y_low, y_high; /* log10 */
} Axes;

/* The nearest of 1, 2 and 5 times a power of 10 that is not above y, as a logarithm; up: not below.
 */
static double
round_log(double y, bool up)
{
    static const double steps[] = {1, 2, 5, 10};
    const double decade = floor(log10(y)), rest = y / pow(10, decade);
    int i = 0;
    while (i + 1 < (int)COUNT_OF(steps) && steps[i + 1] <= rest * (1 + 1e-9))
        i++;
    if (up && steps[i] < rest * (1 - 1e-9))
        i++;
    return decade + log10(steps[i]);
}

static Axes
axes_of(const Plot *c)
{
    double least = INFINITY, most = 0;
    Axes a = {.chart = c};
    a.x_low = log2(c->x[0]);
    a.x_high = log2(c->x[c->points - 1]);
    for (int l = 0; l < c->lines; l++)
        for (int i = 0; i < c->points; i++)
            if (c->line[l].y[i] > 0) {
                least = fmin(least, c->line[l].y[i]);
                most = fmax(most, c->line[l].y[i]);
            }
    a.y_low = most > 0 ? round_log(least, false) : 0;
    a.y_high = fmax(most > 0 ? round_log(most, true) : 0, a.y_low + 0.3);
    if (a.x_high <= a.x_low)
        a.x_high = a.x_low + 1;
    return a;
}

static double
place_x(const Axes *a, double x)
{
    return LEFT + (log2(x) - a->x_low) / (a->x_high - a->x_low) * (WIDTH - LEFT - RIGHT);
}

static double
place_y(const Axes *a, double y)
{
    return HEIGHT - BOTTOM -
           (log10(y) - a->y_low) / (a->y_high - a->y_low) * (HEIGHT - TOP - BOTTOM);
}

static void
put_number(StrBuf *out, double n)
{
    if (n >= 1024 && fmod(n, 1024) == 0)
        sb_printf(out, "%.0fK", n / 1024);
    else
        sb_printf(out, "%.3g", n);
}

static void
put_x_axis(StrBuf *out, const Axes *a)
{
    const Plot *c = a->chart;
    for (int i = 0; i < c->points; i++) {
        sb_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", place_x(a, c->x[i]),
                  HEIGHT - BOTTOM + 18);
        put_number(out, c->x[i]);
        sb_puts(out, "</text>\n");
    }
    sb_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + WIDTH - RIGHT) / 2,
              HEIGHT - 8);
    svg_escape(out, c->x_label);
    sb_puts(out, "</text>\n");
}

/* Rules at 1, 2 and 5 of each decade. */
static void
put_y_axis(StrBuf *out, const Axes *a)
{
    static const double steps[] = {1, 2, 5};
    for (int decade = (int)floor(a->y_low); decade <= (int)a->y_high; decade++)
        for (size_t i = 0; i < COUNT_OF(steps); i++) {
            const double y = steps[i] * pow(10, decade), at = place_y(a, y);
            if (log10(y) < a->y_low - 1e-9 || log10(y) > a->y_high + 1e-9)
                continue;
            sb_printf(out,
                      "<line class=\"rule\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                      LEFT, WIDTH - RIGHT, at, at, LEFT - 8, at + 4, y);
        }
    sb_printf(out, "<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">",
              (TOP + HEIGHT - BOTTOM) / 2);
    svg_escape(out, a->chart->y_label);
    sb_puts(out, "</text>\n");
}

/* ---- lines ------------------------------------------------------------------------------- */

/* A shape a line, so that colour is not all that tells them apart. */
static void
put_mark(StrBuf *out, int line, double x, double y)
{
    static const char *const shape[PLOT_MOST_LINES] = {
        "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
        "m-4 -4h8v8h-8z",
        "m0 -5l5 5l-5 5l-5 -5z",
        "m0 -5l5 9h-10z",
        "m0 5l-5 -9h10z",
        "m-5 -1h10v2h-10z",
    };
    sb_printf(out, "<path fill=\"var(--c%d)\" d=\"M%.1f %.1f%s\"/>", line, x, y, shape[line]);
}

static void
put_line(StrBuf *out, const Axes *a, int line)
{
    const Plot *c = a->chart;
    bool open = false;
    sb_printf(out, "<g><title>");
    svg_escape(out, c->line[line].name);
    sb_printf(out, "</title><path class=\"line\" stroke=\"var(--c%d)\" d=\"", line);
    for (int i = 0; i < c->points; i++) {
        const double y = c->line[line].y[i];
        if (y > 0)
            sb_printf(out, "%s%.1f %.1f", open ? "L" : "M", place_x(a, c->x[i]), place_y(a, y));
        open = y > 0;
    }
    sb_puts(out, "\"/>");
    for (int i = 0; i < c->points; i++)
        if (c->line[line].y[i] > 0)
            put_mark(out, line, place_x(a, c->x[i]), place_y(a, c->line[line].y[i]));
    sb_puts(out, "</g>\n");
}

static void
put_key(StrBuf *out, const Plot *c)
{
    sb_puts(out, "<ul class=\"key\">");
    for (int l = 0; l < c->lines; l++) {
        sb_printf(out,
                  "<li><svg viewBox=\"0 0 28 14\" aria-hidden=\"true\"><path class=\"line\" "
                  "stroke=\"var(--c%d)\" d=\"M0 7H28\"/>",
                  l);
        put_mark(out, l, 14, 7);
        sb_puts(out, "</svg>");
        svg_escape(out, c->line[l].name);
        sb_puts(out, "</li>");
    }
    sb_puts(out, "</ul>\n");
}

static void
put_table(StrBuf *out, const Plot *c)
{
    sb_puts(out, "<details><summary>Table: ");
    svg_escape(out, c->y_label);
    sb_puts(out, "</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">");
    svg_escape(out, c->x_label);
    for (int l = 0; l < c->lines; l++) {
        sb_puts(out, "</th><th scope=\"col\">");
        svg_escape(out, c->line[l].name);
    }
    sb_puts(out, "</th></tr></thead><tbody>\n");
    for (int i = 0; i < c->points; i++) {
        sb_printf(out, "<tr><th scope=\"row\">%.0f</th>", c->x[i]);
        for (int l = 0; l < c->lines; l++)
            if (c->line[l].y[i] > 0)
                sb_printf(out, "<td>%.4g</td>", c->line[l].y[i]);
            else
                sb_puts(out, "<td>&ndash;</td>");
        sb_puts(out, "</tr>\n");
    }
    sb_puts(out, "</tbody></table></div></details>\n");
}

void
plot_chart(StrBuf *out, const Plot *c, const char *id)
{
    if (c->points < 1)
        return;
    const Axes a = axes_of(c);
    sb_printf(out, "<h2 id=\"%s\">", id);
    svg_escape(out, c->title);
    sb_printf(out,
              "</h2>\n<figure>\n<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s\">\n",
              WIDTH, HEIGHT, id);
    put_y_axis(out, &a);
    put_x_axis(out, &a);
    for (int l = 0; l < c->lines; l++)
        put_line(out, &a, l);
    sb_puts(out, "</svg>\n");
    put_key(out, c);
    put_table(out, c);
    sb_puts(out, "</figure>\n");
}
