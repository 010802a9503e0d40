/* bench/svg.h -- line charts as SVG inside a page of HTML that needs nothing else: readable in
 * light and dark, on paper, and without eyes (every chart is followed by its table). */
#ifndef SSMC_BENCH_SVG_H
#define SSMC_BENCH_SVG_H

#include "ir/util.h"

enum { SVG_MOST_LINES = 6, SVG_MOST_POINTS = 32 };

/* Points at the chart's x; a y that is not above 0 is no point. */
typedef struct {
    const char *name;
    double y[SVG_MOST_POINTS];
} SvgLine;

/* Both axes are logarithmic: x by powers of 2, y by powers of 10. */
typedef struct {
    const char *title, *x_label, *y_label;
    double x[SVG_MOST_POINTS]; /* rising */
    int points;
    SvgLine line[SVG_MOST_LINES];
    int lines;
} SvgChart;

/* Text of a page; the title is escaped. */
void svg_page_begin(StrBuf *out, const char *title);
void svg_page_end(StrBuf *out);
void svg_text(StrBuf *out, const char *text); /* escaped */
/* A figure: the chart, its legend and its table. id: a word, unlike those of other charts. */
void svg_chart(StrBuf *out, const SvgChart *chart, const char *id);

#endif
