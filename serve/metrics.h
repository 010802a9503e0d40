/* serve/metrics.h -- private to serve/: what the server counts beside the engine. */
#ifndef SSMC_SERVE_METRICS_H
#define SSMC_SERVE_METRICS_H

#include <stdatomic.h>

#include "serve/engine.h"

enum { HISTOGRAM_BOUNDS = 14 };

/* Of seconds. Bucket i counts those up to histogram_bound[i], and above the bound before. */
typedef struct {
    atomic_ullong bucket[HISTOGRAM_BOUNDS + 1];
    atomic_ullong nanoseconds; /* of all together */
} Histogram;
void histogram_add(Histogram *histogram, double seconds);

/* HISTOGRAM(id, name, meaning) */
#define HISTOGRAMS(HISTOGRAM)                                                                      \
    HISTOGRAM(first, "ssmc_first_id_seconds", "From a request to its first drawn id.")             \
    HISTOGRAM(between, "ssmc_between_ids_seconds", "Between two drawn ids of a request.")          \
    HISTOGRAM(whole, "ssmc_request_seconds", "From a request to the end of its answer.")

typedef struct {
#define HISTOGRAM(id, name, doc) Histogram id;
    HISTOGRAMS(HISTOGRAM)
#undef HISTOGRAM
    atomic_ullong responses[6]; /* by the first digit of the status */
    atomic_ullong turned_away;  /* connections beyond the limit */
} Metrics;

#endif
