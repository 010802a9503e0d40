/* driver/cmd_bench.c -- ssmc bench: rates of a model beside the machine's ceilings, in one run. */
#include <stdio.h>

#include "bench/bench.h"
#include "driver/driver.h"

/* ---- options ------------------------------------------------------------------------------- */

typedef struct {
    IntList prefill, batch, threads;
    int64_t decode, past, context;
} Wanted;

static bool
wanted_parse(Options *o, Wanted *w)
{
    *w = (Wanted){.decode = o->value[OPT_bench_decode].i, .past = o->value[OPT_past].i};
    if (o->value[OPT_repeats].i < 1 || o->value[OPT_repeats].i > BENCH_MAX_REPEATS) {
        option_fault(o, OPT_repeats, "--repeats must be 1 to %d", BENCH_MAX_REPEATS);
        return false;
    }
    if (w->decode < 0 || w->decode > 1 << 24) {
        option_fault(o, OPT_bench_decode, "--decode must be 0 to %d", 1 << 24);
        return false;
    }
    if (w->past < 0 || w->past > 1 << 24) {
        option_fault(o, OPT_past, "--past must be 0 to %d", 1 << 24);
        return false;
    }
    if (context_from(o, &w->context) != EXIT_DONE)
        return false;
    if (!list_parse(o, OPT_bench_prefill, 1, 1 << 24, &w->prefill) ||
        !list_parse(o, OPT_batch, 1, BENCH_MAX_BATCH, &w->batch) ||
        !list_threads(o, BENCH_MAX_THREADS, &w->threads))
        return false;
    const int threads = w->threads.count > 0 ? w->threads.count : 1;
    const int lengths = w->prefill.count, batches = w->decode > 0 ? w->batch.count : 0;
    if (threads * (lengths + batches) <= BENCH_MAX_ITEMS)
        return true;
    option_fault(o, OPT_bench_prefill,
                 "%d lengths and %d batches by %d numbers of threads are more than %d measurements",
                 lengths, batches, threads, BENCH_MAX_ITEMS);
    return false;
}

/* ---- the run ------------------------------------------------------------------------------- */

static void
run_describe(BenchRun *run, const Options *o, const Job *job, const Wanted *w)
{
    bench_run_of(run, job);
    run->repeats = (int)o->value[OPT_repeats].i;
    run->room = w->context;
    run->past = w->past;
    run->nthreads = w->threads.count > 0 ? w->threads.count : 1;
    for (int i = 0; i < w->threads.count; i++)
        run->threads[i] = (int)w->threads.n[i];
    for (int t = 0; t < run->nthreads; t++) {
        for (int i = 0; i < w->prefill.count; i++)
            run->items[run->nitems++] = (BenchItem){
                .entry = ENTRY_prefill, .tokens = w->prefill.n[i], .batch = 1, .threads = t};
        for (int i = 0; i < w->batch.count && w->decode > 0; i++)
            run->items[run->nitems++] = (BenchItem){.entry = ENTRY_decode,
                                                    .tokens = w->decode,
                                                    .batch = (int)w->batch.n[i],
                                                    .threads = t};
    }
}

/* What is looked at closely: the longest prefill and the first decode, with the last number of
 * threads. Returns how many there are. */
static int
telling_items(const BenchRun *run, const BenchItem *list[2])
{
    const BenchItem *prefill = NULL, *decode = NULL;
    int n = 0;
    for (int i = 0; i < run->nitems; i++) {
        const BenchItem *item = &run->items[i];
        if (item->threads != run->nthreads - 1)
            continue;
        if (item->entry == ENTRY_prefill && (!prefill || item->tokens > prefill->tokens))
            prefill = item;
        if (item->entry == ENTRY_decode && !decode)
            decode = item;
    }
    if (prefill)
        list[n++] = prefill;
    if (decode)
        list[n++] = decode;
    return n;
}

/* The results, then with --profile the kernels' times, and the file of --trace. */
static int
bench_all(const Options *o, BenchRun *run)
{
    const BenchItem *items[2];
    const int count = telling_items(run, items);
    const char *why = NULL, *trace = opt_text(o, OPT_trace);
    ssmc_status status = SSMC_OK;
    StrBuf out = {0};
    if (!bench_rounds(o->arena, run, &status, &why))
        return why ? fault(EXIT_FAILED, "%s", why) : runtime_fault(status);
    (opt_given(o, OPT_json) ? bench_put_json : bench_put_text)(&out, run);
    for (int i = 0; i < count && status == SSMC_OK && opt_given(o, OPT_profile); i++)
        status = bench_put_profile(&out, run, items[i]);
    fputs(sb_text(&out), stdout);
    sb_free(&out);
    if (status != SSMC_OK || !trace)
        return status == SSMC_OK ? EXIT_DONE : runtime_fault(status);
    status = bench_put_trace(&out, run, items, count);
    const bool written =
        status == SSMC_OK && file_write(o->arena, trace, sb_text(&out), out.len, &why);
    sb_free(&out);
    if (status != SSMC_OK)
        return runtime_fault(status);
    return written ? EXIT_DONE : fault(EXIT_BAD_INPUT, "%s", why);
}

int
cmd_bench(Options *o)
{
    Job job = {0};
    Settings settings;
    Wanted wanted;
    BenchRun run = {0};
    if (!wanted_parse(o, &wanted))
        return EXIT_BAD_INPUT;
    if (opt_given(o, OPT_figure))
        return bench_figure(o);
    if (opt_given(o, OPT_bench_attend) ||
        (on_device(o) && (opt_given(o, OPT_bench_ssd) || opt_given(o, OPT_bench_delta) ||
                          opt_given(o, OPT_bench_scan))))
        return bench_mixers(o);
    if (opt_given(o, OPT_bench_ssd))
        return bench_forms(o, OPT_bench_ssd);
    if (opt_given(o, OPT_bench_delta))
        return bench_forms(o, OPT_bench_delta);
    if (opt_given(o, OPT_bench_scan))
        return bench_scan(o);
    if (opt_given(o, OPT_state))
        return option_fault(o, OPT_state, "--state goes with --figure");
    if (opt_given(o, OPT_points))
        return option_fault(o, OPT_points, "--csv goes with --figure");
    if (opt_given(o, OPT_json) && opt_given(o, OPT_profile))
        return option_fault(o, OPT_profile, "--profile is text: leave --json out");
    if (!output_possible(o, OPT_trace))
        return EXIT_BAD_INPUT;
    int status = settings_with_threads(o, &wanted.threads, &settings);
    if (status == EXIT_DONE)
        status = model_describe_by(&job, o, &settings, false);
    if (status == EXIT_DONE)
        status = job_run(&job);
    if (status == EXIT_DONE) {
        run_describe(&run, o, &job, &wanted);
        status = bench_all(o, &run);
    }
    bench_end(&run);
    job_end(&job);
    return status;
}
