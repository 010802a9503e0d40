/* explore/figure.h -- the figure of ssmc bench --figure: an SSD in its forms, by length and by
 * state size at equal width. */
#ifndef SSMC_EXPLORE_FIGURE_H
#define SSMC_EXPLORE_FIGURE_H

#include "bench/bench.h"

typedef enum {
    FIGURE_RECURRENT,
    FIGURE_CHUNKED,
    FIGURE_CHUNKED_BF16,
    FIGURE_QUADRATIC,
    FIGURE_FORMS
} FigureForm;
const char *figure_form(FigureForm form); /* as compile.form spells it */
bool figure_bf16(FigureForm form);

typedef struct {
    FigureForm form;
    int64_t state, tokens;
    int64_t chunk; /* that was chosen; 0: the form has none */
    BenchSample time;
    const char *why_not; /* it was not run; NULL: it was */
} FigurePoint;

typedef struct {
    BenchSsd size; /* but for the state */
    const char *machine;
    int repeats;
    const int64_t *states, *tokens; /* rising */
    int nstates, ntokens;
    FigurePoint *points;
    int count;
} Figure;

void figure_put_page(StrBuf *out, const Figure *figure);
void figure_put_csv(StrBuf *out, const Figure *figure);

#endif
