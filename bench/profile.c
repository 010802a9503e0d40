/* bench/profile.c -- where the time of an item goes, kernel by kernel. */
#include <string.h>

#include "bench/bench.h"

static void
table_add(BenchProfile *t, const char *name, bool head, double seconds)
{
    int i = 0;
    while (i < t->count && (strcmp(t->rows[i].name, name) != 0 || t->rows[i].head != head))
        i++;
    if (i == t->count)
        t->rows[t->count++] = (BenchKernel){.name = name, .head = head};
    t->rows[i].count++;
    t->rows[i].seconds += seconds;
    t->seconds += seconds;
}

/* Seconds of each step of a phase, but for those it had taken before. */
static void
table_fill(BenchProfile *t, const BenchRun *run, const BenchItem *item, const double *before)
{
    const AbiProgram *abi = run->program;
    const AbiPhase *phase = &abi->phase[item->kind == BENCH_PREFILL ? ABI_PREFILL : ABI_DECODE];
    const AbiRange range[2] = {phase->layers, phase->head};
    for (int r = 0; r < 2; r++)
        for (int s = range[r].first; s < range[r].first + range[r].count; s++) {
            const double seconds = rt_session_step_seconds(run->session[item->threads], s);
            table_add(t, abi->steps[s].name, r == 1, seconds - before[s]);
        }
}

/* Passes over the layers in a run of the item, and token rows of each: the last may have fewer. */
static BenchWork
work_of(const BenchRun *run, const BenchItem *item, const BenchKernel *row)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    const Graph *g = run->graph[prefill ? 0 : 1];
    if (!prefill) {
        BenchWork w = bench_kernel_work(g, row->name, row->head, item->batch, item->batch);
        return (BenchWork){w.flops * (double)item->tokens, w.bytes * (double)item->tokens};
    }
    BenchWork sum = {0};
    const int64_t block = run->program->phase[ABI_PREFILL].block;
    for (int64_t left = row->head ? 1 : item->tokens; left > 0; left -= block) {
        const BenchWork w =
            bench_kernel_work(g, row->name, row->head, left < block ? left : block, 1);
        sum.flops += w.flops;
        sum.bytes += w.bytes;
    }
    return sum;
}

static void
put_row(StrBuf *out, const BenchKernel *row, const BenchItem *item, double total)
{
    const double gops = row->work.flops / row->seconds * 1e-9;
    const double gbs = row->work.bytes / row->seconds * 1e-9;
    const bool prefill = item->kind == BENCH_PREFILL;
    const double ceiling = prefill ? item->ceiling.best : item->ceiling.median;
    sb_printf(out, "  %-20s x%-3d %9.3f ms %5.1f %% %8.1f %7.1f   %5.1f %%\n", row->name,
              row->count, 1e3 * row->seconds, 100 * row->seconds / total, gops, gbs,
              100 * (prefill ? gops : gbs) / ceiling);
}

static void
put_table(StrBuf *out, const BenchRun *run, const BenchItem *item, const BenchProfile *t)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    sb_printf(out, "\n%s of %lld tokens, batch %d, %d threads, by kernel:\n",
              prefill ? "prefill" : "decode", (long long)item->tokens, item->batch,
              run->threads[item->threads]);
    sb_printf(out, "  %-20s %-4s %12s %7s %8s %7s   of %.*f %s\n", "", "", "time", "share", "Gop/s",
              "GB/s", prefill ? 0 : 1, prefill ? item->ceiling.best : item->ceiling.median,
              prefill ? "Gop/s" : "GB/s");
    for (int i = 0; i < t->count; i++)
        put_row(out, &t->rows[i], item, t->seconds);
    sb_printf(out, "  sum of kernels %.3f ms of %.3f ms wall time: %.1f %%\n", 1e3 * t->seconds,
              1e3 * t->wall, 100 * t->seconds / t->wall);
}

/* Work of each row; those without time go. */
static void
table_settle(BenchProfile *t, const BenchRun *run, const BenchItem *item)
{
    int kept = 0;
    for (int i = 0; i < t->count; i++) {
        BenchKernel *row = &t->rows[i];
        if (row->seconds <= 0)
            continue;
        row->work = work_of(run, item, row);
        t->rows[kept++] = *row;
    }
    t->count = kept;
}

ssmc_status
bench_profile(Arena *arena, BenchRun *run, const BenchItem *item, BenchProfile *out)
{
    const size_t steps = (size_t)run->program->nsteps;
    double *before = arena_array(arena, steps + 1, sizeof *before);
    ssmc_session *session = run->session[item->threads];
    *out = (BenchProfile){.rows = arena_array(arena, steps + 1, sizeof *out->rows)};
    for (size_t s = 0; s < steps; s++)
        before[s] = rt_session_step_seconds(session, (int)s);
    rt_session_profile(session, true);
    const ssmc_status status = bench_item_once(run, item, &out->wall);
    rt_session_profile(session, false);
    if (item->kind == BENCH_DECODE)
        out->wall *= (double)item->tokens;
    table_fill(out, run, item, before);
    table_settle(out, run, item);
    return status;
}

ssmc_status
bench_put_profile(StrBuf *out, BenchRun *run, const BenchItem *item)
{
    Arena *arena = arena_new();
    BenchProfile t;
    const ssmc_status status = bench_profile(arena, run, item, &t);
    if (status == SSMC_OK)
        put_table(out, run, item, &t);
    arena_free(arena);
    return status;
}
