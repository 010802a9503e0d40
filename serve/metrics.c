/* serve/metrics.c -- GET /metrics, in Prometheus' text format. */
#include "serve/server.h"

/* Seconds; each about twice the one before. */
static const double histogram_bound[HISTOGRAM_BOUNDS] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
                                                         0.2,   0.5,   1,     2,    5,    10,   30};

void
histogram_add(Histogram *histogram, double seconds)
{
    int bucket = 0;
    while (bucket < HISTOGRAM_BOUNDS && seconds > histogram_bound[bucket])
        bucket++;
    atomic_fetch_add_explicit(&histogram->bucket[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->nanoseconds, (unsigned long long)(1e9 * seconds),
                              memory_order_relaxed);
}

static void
put_histogram(StrBuf *out, const char *name, const char *doc, Histogram *histogram)
{
    unsigned long long count = 0;
    sb_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, doc, name);
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        count += atomic_load(&histogram->bucket[i]);
        if (i < HISTOGRAM_BOUNDS)
            sb_printf(out, "%s_bucket{le=\"%g\"} %llu\n", name, histogram_bound[i], count);
        else
            sb_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, count);
    }
    sb_printf(out, "%s_sum %.9f\n%s_count %llu\n", name,
              (double)atomic_load(&histogram->nanoseconds) / 1e9, name, count);
}

static void
put_metric(StrBuf *out, const char *name, const char *type, const char *doc, double value)
{
    sb_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, doc, name, type, name, value);
}

void
api_metrics(Exchange *ex)
{
    Server *s = ex->server;
    Metrics *m = &s->metrics;
    const EngineCounts c = engine_counts(s->engine);
    StrBuf out = {0};
#define METRIC(name, type, value, doc) put_metric(&out, name, #type, doc, (double)(value));
#include "serve/metrics.def"
#undef METRIC
    sb_puts(
        &out,
        "# HELP ssmc_responses_total Responses, by status.\n# TYPE ssmc_responses_total counter\n");
    for (int i = 2; i < 6; i++)
        sb_printf(&out, "ssmc_responses_total{status=\"%dxx\"} %llu\n", i,
                  atomic_load(&m->responses[i]));
#define HISTOGRAM(id, name, doc) put_histogram(&out, name, doc, &m->id);
    HISTOGRAMS(HISTOGRAM)
#undef HISTOGRAM
    reply(ex, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}
