/* explore/svg.h -- private to explore/: charts as SVG inside a page. Colours and fonts are the
 * page's (explore/page.css): light, dark and printed alike. A chart is 360 units wide, about a
 * phone. */
#ifndef SSMC_EXPLORE_SVG_H
#define SSMC_EXPLORE_SVG_H

#include "ir/util.h"

enum { SVG_WIDTH = 360, SVG_SERIES = 8, SVG_MOST_TICKS = 64 };

typedef struct {
    const char *label;
    double low, high;
    bool log, sizes; /* sizes: ticks are multiples of 1024 where they can be, 64K */
    double tick[SVG_MOST_TICKS];
    int nticks;
} SvgAxis;

typedef struct {
    double x, y;
    const char *title; /* for a pointer that rests there, and for screen readers */
} SvgPoint;

typedef struct {
    StrBuf *out;
    SvgAxis x, y;
    double height;
    double left, top, right, bottom; /* edges of the plot */
} SvgChart;

/* Text that may hold anything. */
void svg_escape(StrBuf *out, const char *text);
/* 4739, 12.3k, 1.05M */
void svg_number(StrBuf *out, double x);

/* Axes. Linear ones get round ticks and begin at 0; logarithmic ones ticks at
 * powers of ten and what lies between them, or at the values themselves. */
SvgAxis svg_linear(const char *label, double high);
SvgAxis svg_log(const char *label, double low, double high);
SvgAxis svg_values(const char *label, const int64_t *values, int count);

/* id: of the page's, unique. The picture has a title and a description that screen readers say. */
void svg_begin(StrBuf *out, const char *id, const char *title, const char *desc, double height);
void svg_end(StrBuf *out);
/* An empty plot with its axes. */
void svg_axes(SvgChart *chart, StrBuf *out, const SvgAxis *x, const SvgAxis *y, double height);
double svg_x(const SvgChart *chart, double x);
double svg_y(const SvgChart *chart, double y);
/* A line through points and a mark at each; a series has its colour, its dashes and its mark. */
void svg_line(const SvgChart *chart, int series, const SvgPoint *points, int count);
void svg_mark(StrBuf *out, int series, int shape, double x, double y, const char *title);
/* A line of the plot itself: a ceiling. */
void svg_rule(const SvgChart *chart, double x0, double y0, double x1, double y1);
/* A word at a place of the plot; anchor: start (it begins below the place) or end (it ends above).
 */
void svg_note(const SvgChart *chart, double x, double y, const char *anchor, const char *text);
/* Below a chart: the mark of a series, with its line where it has one, and its name. */
void svg_legend(StrBuf *out, int series, int shape, bool line, const char *name);

#endif
