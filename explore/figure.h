/* explore/figure.h -- the figure of ssmc bench --figure: an SSD in its forms, Mamba-1's selective
 * scan and attention of as many channels, by length and by state size. */
#ifndef SSMC_EXPLORE_FIGURE_H
#define SSMC_EXPLORE_FIGURE_H

#include "bench/bench.h"

typedef enum {
    FIGURE_RECURRENT,
    FIGURE_CHUNKED,
    FIGURE_CHUNKED_BF16,
    FIGURE_QUADRATIC,
    FIGURE_SCAN,
    FIGURE_ATTENTION,
    FIGURE_ATTENTION_BF16,
    FIGURE_FORMS
} FigureForm;
typedef struct {
    const char *label, *name; /* in the page; in the table of points */
    MixerKind mixer;
    Form form; /* of an SSD */
    bool bf16; /* its dots are of bf16 pairs */
} FigureFormInfo;
extern const FigureFormInfo figure_form[FIGURE_FORMS];

typedef struct {
    FigureForm form;
    int64_t state; /* 0: it has none of a size, and is measured once */
    int64_t tokens;
    int64_t chunk; /* that was chosen; 0: the form has none */
    BenchSample time;
    const char *why_not; /* it was not run; NULL: it was */
} FigurePoint;

typedef struct {
    Settings settings; /* machine and threads */
    BenchMixer size;   /* heads, head_dim and groups */
    int batch;         /* sequences of each length */
    bool gpu;          /* that machine runs layers on a GPU */
    const char *machine;
    int repeats;
    const int64_t *states, *tokens; /* rising */
    int nstates, ntokens;
    FigurePoint *points;
    int count;
} Figure;

/* Whether the machine has it: dots of bf16 pairs; on a GPU chunks are what quadratic is there. */
bool figure_has(const Figure *figure, FigureForm form);
/* Fills points, of room for every form at every state and length; an exit status. */
int figure_measure(Figure *figure);
/* Milliseconds of a form at a state size, which those that have none take at any; 0: not run. */
double figure_milliseconds(const Figure *figure, FigureForm form, int64_t state, int64_t tokens);
/* The length at which states are compared: it is long, but not so long that the quadratic form
 * is out. */
int64_t figure_compared(const Figure *figure);
/* What the points say, a line each: what a larger state costs; from which length on SSD is ahead of
 * attention and of the scan; what was not run. */
void figure_say(StrBuf *out, const Figure *figure);
void figure_put_page(StrBuf *out, const Figure *figure);
void figure_put_csv(StrBuf *out, const Figure *figure);

#endif
