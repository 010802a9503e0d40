/* explore/curves.h -- private to explore/: a figure of curves: a line with a mark at each point, a
 * legend, a table of the numbers. */
#ifndef SSMC_EXPLORE_CURVES_H
#define SSMC_EXPLORE_CURVES_H

#include "explore/page.h"

typedef struct {
    const char *name;
    SvgPoint *points; /* by rising x */
    int count, series;
} Curve;

Curve curve_new(Page *page, const char *name, int series, int most);
void curve_add(Curve *curve, double x, double y, const char *title);
/* Of all y; without a point 0, and INFINITY. */
double curves_highest(const Curve *curves, int count);
double curves_lowest(const Curve *curves, int count);

typedef struct {
    const char *caption, *title, *desc; /* title and desc: of the picture */
    const char *table, *key;            /* caption of the table, and what its rows are */
} CurveFigure;
/* Curves without points are left out. */
void curves_figure(Page *page, const CurveFigure *figure, const SvgAxis *x, const SvgAxis *y,
                   const Curve *curves, int count);

#endif
