/* explore/svg.c -- see svg.h. */
#include "explore/svg.h"

#include <math.h>
#include <string.h>

/* ---- text ---------------------------------------------------------------------------------- */

void
svg_escape(StrBuf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '&')
            sb_puts(out, "&amp;");
        else if (c == '<')
            sb_puts(out, "&lt;");
        else if (c == '>')
            sb_puts(out, "&gt;");
        else if (c == '"')
            sb_puts(out, "&quot;");
        else if (c < 32 || c == 127)
            sb_puts(out, " ");
        else
            sb_putn(out, p, 1);
    }
}

void
svg_number(StrBuf *out, double x)
{
    static const struct {
        double unit;
        const char *letter;
    } units[] = {
        {1e9, "G"},
        {1e6, "M"},
        {1e4, "k"}
    };
    double unit = 1;
    const char *letter = "";
    for (size_t i = COUNT_OF(units); i-- > 0;)
        if (fabs(x) >= units[i].unit) {
            unit = units[i].unit == 1e4 ? 1e3 : units[i].unit;
            letter = units[i].letter;
        }
    const double scaled = x / unit;
    if (fabs(scaled) >= 1000 || scaled == floor(scaled))
        sb_printf(out, "%.0f%s", scaled, letter);
    else
        sb_printf(out, "%.3g%s", scaled, letter);
}

/* ---- axes ---------------------------------------------------------------------------------- */

/* 1, 2 or 5 times a power of ten: about five steps. */
static double
round_step(double high)
{
    const double rough = high / 5, power = pow(10, floor(log10(rough))), over = rough / power;
    return power * (over <= 1 ? 1 : over <= 2 ? 2 : over <= 5 ? 5 : 10);
}

SvgAxis
svg_linear(const char *label, double high)
{
    SvgAxis a = {.label = label, .high = high > 0 && isfinite(high) ? high : 1};
    const double step = round_step(a.high);
    a.high = ceil(a.high / step) * step;
    for (double at = 0; at <= a.high * 1.0001 && a.nticks < SVG_MOST_TICKS; at += step)
        a.tick[a.nticks++] = at;
    return a;
}

static void
log_ticks(SvgAxis *a, const char *digits)
{
    a->nticks = 0;
    for (double power = pow(10, floor(log10(a->low))); power <= a->high; power *= 10)
        for (const char *d = digits; *d; d++) {
            const double at = power * (*d - '0');
            if (at >= a->low && at <= a->high && a->nticks < SVG_MOST_TICKS)
                a->tick[a->nticks++] = at;
        }
}

/* 1, 2 and 5 of each power of ten; where that is many, the powers alone, and where few, all digits.
 */
SvgAxis
svg_log(const char *label, double low, double high)
{
    enum { FEW = 3, MANY = 10 };
    const double least = 1e-12, most = 1e18; /* results of a file may be anything */
    SvgAxis a = {.label = label, .low = fmin(fmax(low, least), most), .log = true};
    a.high = fmax(fmin(high, most), 2 * a.low);
    log_ticks(&a, "125");
    if (a.nticks > MANY)
        log_ticks(&a, "1");
    else if (a.nticks < FEW)
        log_ticks(&a, "123456789");
    return a;
}

SvgAxis
svg_values(const char *label, const int64_t *values, int count)
{
    SvgAxis a = {.label = label, .log = true, .sizes = true};
    for (int i = 0; i < count && i < SVG_MOST_TICKS; i++)
        a.tick[a.nticks++] = (double)values[i];
    a.low = fmax(a.tick[0], 1) / 1.15;
    a.high = fmax(a.tick[a.nticks - 1], 1) * 1.15;
    return a;
}

/* What is out of sight is at the edge. */
static double
share_of(const SvgAxis *a, double at)
{
    const double inside = fmin(fmax(at, a->low), a->high);
    if (!a->log)
        return (inside - a->low) / (a->high - a->low);
    return log(inside / a->low) / log(a->high / a->low);
}

double
svg_x(const SvgChart *c, double x)
{
    return c->left + (c->right - c->left) * share_of(&c->x, x);
}

double
svg_y(const SvgChart *c, double y)
{
    return c->bottom - (c->bottom - c->top) * share_of(&c->y, y);
}

/* Sizes are powers of two more often than of ten. */
static void
put_size(StrBuf *out, double size)
{
    enum { K = 1024 };
    if (size < K || fmod(size, K) != 0)
        svg_number(out, size);
    else if (fmod(size, K * K) != 0)
        sb_printf(out, "%.0fK", size / K);
    else
        sb_printf(out, "%.0fM", size / (K * K));
}

static void
put_tick(StrBuf *out, double x, double y, const char *anchor, const SvgAxis *axis, int tick)
{
    sb_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    (axis->sizes ? put_size : svg_number)(out, axis->tick[tick]);
    sb_puts(out, "</text>\n");
}

/* Labels that would touch the one before are left out; their lines stay. */
static void
x_ticks(const SvgChart *c)
{
    enum { ROOM = 26 };
    double before = -1e9;
    for (int i = 0; i < c->x.nticks; i++) {
        const double x = svg_x(c, c->x.tick[i]);
        sb_printf(c->out,
                  "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", x, x,
                  c->top, c->bottom);
        if (x - before < ROOM)
            continue;
        put_tick(c->out, x, c->bottom + 14, "middle", &c->x, i);
        before = x;
    }
}

static void
y_ticks(const SvgChart *c)
{
    for (int i = 0; i < c->y.nticks; i++) {
        const double y = svg_y(c, c->y.tick[i]);
        sb_printf(c->out,
                  "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                  c->left, c->right, y, y);
        put_tick(c->out, c->left - 5, y + 4, "end", &c->y, i);
    }
}

void
svg_axes(SvgChart *c, StrBuf *out, const SvgAxis *x, const SvgAxis *y, double height)
{
    *c = (SvgChart){.out = out,
                    .x = *x,
                    .y = *y,
                    .height = height,
                    .left = 46,
                    .top = 22,
                    .right = SVG_WIDTH - 18,
                    .bottom = height - 36};
    x_ticks(c);
    y_ticks(c);
    sb_printf(out, "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
              (c->left + c->right) / 2, height - 5);
    svg_escape(out, x->label);
    sb_puts(out, "</text>\n<text class=\"axis\" x=\"4\" y=\"12\">");
    svg_escape(out, y->label);
    sb_puts(out, "</text>\n");
}

/* ---- the picture --------------------------------------------------------------------------- */

void
svg_begin(StrBuf *out, const char *id, const char *title, const char *desc, double height)
{
    sb_printf(out,
              "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" role=\"img\" "
              "aria-labelledby=\"%s-t %s-d\">\n<title id=\"%s-t\">",
              SVG_WIDTH, height, id, id, id);
    svg_escape(out, title);
    sb_printf(out, "</title>\n<desc id=\"%s-d\">", id);
    svg_escape(out, desc);
    sb_puts(out, "</desc>\n");
}

void
svg_end(StrBuf *out)
{
    sb_puts(out, "</svg>\n");
}

/* Shapes differ where colours may not be told apart: disc, square, triangle, diamond. */
static void
put_shape(StrBuf *out, int shape, double x, double y)
{
    enum { SHAPES = 4 };
    switch (shape % SHAPES) {
    case 0:
        sb_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\"", x, y);
        return;
    case 1:
        sb_printf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"6.6\" height=\"6.6\"", x - 3.3,
                  y - 3.3);
        return;
    case 2:
        sb_printf(out, "<path d=\"M%.1f %.1fl4.2 7.4h-8.4z\"", x, y - 4.6);
        return;
    default:
        sb_printf(out, "<path d=\"M%.1f %.1fl4.6 4.6l-4.6 4.6l-4.6 -4.6z\"", x, y - 4.6);
        return;
    }
}

void
svg_mark(StrBuf *out, int series, int shape, double x, double y, const char *title)
{
    put_shape(out, shape, x, y);
    sb_printf(out, " class=\"mark c%d\">", series % SVG_SERIES);
    if (title) {
        sb_puts(out, "<title>");
        svg_escape(out, title);
        sb_puts(out, "</title>");
    }
    sb_puts(out, shape % 4 == 0 ? "</circle>\n" : shape % 4 == 1 ? "</rect>\n" : "</path>\n");
}

void
svg_line(const SvgChart *c, int series, const SvgPoint *points, int count)
{
    sb_printf(c->out, "<polyline class=\"line c%d\" points=\"", series % SVG_SERIES);
    for (int i = 0; i < count; i++)
        sb_printf(c->out, "%s%.1f,%.1f", i ? " " : "", svg_x(c, points[i].x),
                  svg_y(c, points[i].y));
    sb_puts(c->out, "\"/>\n");
    for (int i = 0; i < count; i++)
        svg_mark(c->out, series, series, svg_x(c, points[i].x), svg_y(c, points[i].y),
                 points[i].title);
}

void
svg_rule(const SvgChart *c, double x0, double y0, double x1, double y1)
{
    sb_printf(c->out, "<line class=\"rule\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
              svg_x(c, x0), svg_y(c, y0), svg_x(c, x1), svg_y(c, y1));
}

void
svg_note(const SvgChart *c, double x, double y, const char *anchor, const char *text)
{
    const bool end = strcmp(anchor, "end") == 0;
    sb_printf(c->out, "<text class=\"small\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
              svg_x(c, x) + (end ? -3 : 4), svg_y(c, y) + (end ? -4 : 11), anchor);
    svg_escape(c->out, text);
    sb_puts(c->out, "</text>\n");
}

void
svg_legend(StrBuf *out, int series, int shape, bool line, const char *name)
{
    sb_puts(out, "<span class=\"key\"><svg viewBox=\"0 0 24 12\" aria-hidden=\"true\">");
    if (line)
        sb_printf(out, "<polyline class=\"line c%d\" points=\"0,6 24,6\"/>", series % SVG_SERIES);
    svg_mark(out, series, shape, 12, 6, NULL);
    sb_puts(out, "</svg> ");
    svg_escape(out, name);
    sb_puts(out, "</span>\n");
}
