/* explore/figure.h -- the figure of ssmc bench --figure: an SSD in its forms, and Mamba-1's
 * selective scan of as many channels, by length and by state size at equal width. */
#ifndef SSMC_EXPLORE_FIGURE_H
#define SSMC_EXPLORE_FIGURE_H

#include "bench/bench.h"

typedef enum {
    FIGURE_RECURRENT,
    FIGURE_CHUNKED,
    FIGURE_CHUNKED_BF16,
    FIGURE_QUADRATIC,
    FIGURE_SCAN, /* no form of an SSD: selective_scan of heads * head_dim channels */
    FIGURE_FORMS
} FigureForm;
typedef struct {
    const char *label, *name; /* in the page; in the table of points */
    Form form;                /* of the SSD */
    bool bf16;                /* its dots are of bf16 pairs */
} FigureFormInfo;
extern const FigureFormInfo figure_form[FIGURE_FORMS];

typedef struct {
    FigureForm form;
    int64_t state, tokens;
    int64_t chunk; /* that was chosen; 0: the form has none */
    BenchSample time;
    const char *why_not; /* it was not run; NULL: it was */
} FigurePoint;

typedef struct {
    Settings settings; /* machine and threads */
    BenchSsd size;     /* but for the state and the block */
    const char *machine;
    int repeats;
    const int64_t *states, *tokens; /* rising */
    int nstates, ntokens;
    FigurePoint *points;
    int count;
} Figure;

/* Fills points, of room for every form at every state and length; an exit status. */
int figure_measure(Figure *figure);
void figure_put_page(StrBuf *out, const Figure *figure);
void figure_put_csv(StrBuf *out, const Figure *figure);

#endif
