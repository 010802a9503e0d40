/* bench/sample.c -- repeated measurements of one thing: the middle of them, and how far they lie
 * apart. */
#include <stdlib.h>

#include "bench/bench.h"

static int
double_order(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

BenchQuantiles
bench_quantiles(double *value, int count)
{
    qsort(value, (size_t)count, sizeof *value, double_order);
    return (BenchQuantiles){.least = value[0],
                            .median = value[count / 2],
                            .ninth = value[count * 9 / 10],
                            .most = value[count - 1]};
}

static BenchSample
summary(double *value, int count)
{
    const double median = bench_quantiles(value, count).median;
    const double low = value[count / 10], high = value[count - 1 - count / 10];
    return (BenchSample){.median = median, .spread = median > 0 ? (high - low) / median : 0};
}

BenchSample
bench_times(double *seconds, int count)
{
    if (count < 1)
        return (BenchSample){0};
    BenchSample s = summary(seconds, count);
    s.best = seconds[0];
    return s;
}

BenchSample
bench_rates(double *rate, int count)
{
    if (count < 1)
        return (BenchSample){0};
    BenchSample s = summary(rate, count);
    s.best = rate[count - 1];
    return s;
}
