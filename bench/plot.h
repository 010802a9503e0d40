/* bench/plot.h -- line charts as SVG inside a page of HTML that needs nothing else: readable in
 * light and dark, on paper, and without eyes (every chart is followed by its table). */
#ifndef SSMC_BENCH_PLOT_H
#define SSMC_BENCH_PLOT_H

#include "ir/util.h"

enum { PLOT_MOST_LINES = 6, PLOT_MOST_POINTS = 32 };

/* Points at the chart's x; a y that is not above 0 is no point. */
typedef struct {
    const char *name;
    double y[PLOT_MOST_POINTS];
} PlotLine;

/* Both axes are logarithmic: x by powers of 2, y by powers of 10. */
typedef struct {
    const char *title, *x_label, *y_label;
    double x[PLOT_MOST_POINTS]; /* rising */
    int points;
    PlotLine line[PLOT_MOST_LINES];
    int lines;
} Plot;

/* Text of a page; the title is escaped. */
void plot_page_begin(StrBuf *out, const char *title);
void plot_page_end(StrBuf *out);
/* A figure: the chart, its legend and its table. id: a word, unlike those of other charts. */
void plot_chart(StrBuf *out, const Plot *chart, const char *id);

#endif
