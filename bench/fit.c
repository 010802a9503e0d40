/* bench/fit.c -- constants of a sum: nonnegative least squares of relative errors. */
#include <math.h>
#include <string.h>

#include "bench/bench.h"

enum { SWEEPS = 20000, ROUNDS = 6, MOST_TERMS = 32 };
/* Below this a relative error counts as noise; larger ones count by their size, not its square, so
 * that a few disturbed measurements do not pull the rest. */
static const double noise = 0.02;

/* Normal equations of count rows, each scaled to measure 1 and weighted. */
typedef struct {
    int terms;
    double square[MOST_TERMS][MOST_TERMS], right[MOST_TERMS];
} Normal;

static void
normal_add(Normal *e, const double *row, double weight)
{
    for (int a = 0; a < e->terms; a++) {
        e->right[a] += weight * row[a];
        for (int b = 0; b < e->terms; b++)
            e->square[a][b] += weight * row[a] * row[b];
    }
}

/* Coordinate descent: each constant in turn is the best there is beside the others, or 0. */
static void
normal_solve(const Normal *e, double *out)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double moved = 0;
        for (int a = 0; a < e->terms; a++) {
            if (e->square[a][a] <= 0)
                continue;
            double rest = e->right[a];
            for (int b = 0; b < e->terms; b++)
                rest -= b == a ? 0 : e->square[a][b] * out[b];
            const double best = fmax(rest / e->square[a][a], 0);
            moved = fmax(moved, fabs(best - out[a]) * sqrt(e->square[a][a]));
            out[a] = best;
        }
        if (moved < 1e-9)
            return;
    }
}

static double
sum_of(const double *row, const double *constant, int terms)
{
    double sum = 0;
    for (int t = 0; t < terms; t++)
        sum += row[t] * constant[t];
    return sum;
}

/* Each term in units of its greatest share, so that none is lost in rounding. */
static void
scales(const BenchFit *fit, double *scale)
{
    for (int t = 0; t < fit->terms; t++) {
        scale[t] = 0;
        for (int i = 0; i < fit->rows; i++)
            scale[t] = fmax(scale[t], fit->count[i * fit->terms + t] / fit->measured[i]);
    }
}

void
bench_fit(const BenchFit *fit, double *constant)
{
    double scale[MOST_TERMS], row[MOST_TERMS];
    scales(fit, scale);
    memset(constant, 0, (size_t)fit->terms * sizeof *constant);
    for (int round = 0; round < ROUNDS; round++) {
        Normal e = {.terms = fit->terms};
        for (int i = 0; i < fit->rows; i++) {
            for (int t = 0; t < fit->terms; t++)
                row[t] =
                    scale[t] > 0 ? fit->count[i * fit->terms + t] / fit->measured[i] / scale[t] : 0;
            const double miss = fabs(sum_of(row, constant, fit->terms) - 1);
            const double weight = fit->weight ? fit->weight[i] : 1;
            normal_add(&e, row, weight * (round == 0 ? 1 : noise / fmax(miss, noise)));
        }
        normal_solve(&e, constant);
    }
    for (int t = 0; t < fit->terms; t++)
        constant[t] = scale[t] > 0 ? constant[t] / scale[t] : 0;
}
