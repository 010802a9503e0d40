/* bench/profile.c -- where the time of an item goes, kernel by kernel. */
#include <math.h>
#include <string.h>

#include "bench/bench.h"

static BenchKernel *
table_row(BenchProfile *t, const char *name, Op op, Dtype dtype, bool head)
{
    int i = 0;
    while (i < t->count && (strcmp(t->rows[i].name, name) != 0 || t->rows[i].op != op ||
                            t->rows[i].dtype != dtype || t->rows[i].head != head))
        i++;
    if (i == t->count)
        t->rows[t->count++] = (BenchKernel){.name = name, .op = op, .dtype = dtype, .head = head};
    return &t->rows[i];
}

/* Of a kernel in a run of the item: all passes over the layers, of which the last may have fewer
 * rows, or one over the head. */
static BenchWork
work_of(const BenchRun *run, const BenchItem *item, const Graph *g, const Kernel *k, bool head)
{
    const bool prefill = item->entry == ENTRY_prefill;
    const int64_t block = g->block;
    const int64_t passes = !prefill ? item->tokens : head ? 0 : item->tokens / block;
    const int64_t rest = !prefill ? 0 : head ? 1 : item->tokens % block;
    /* Before a pass in the mean, and before the last. */
    const double past = prefill ? (double)((passes - 1) * block) / 2 : bench_item_past(run, item);
    const double before = (double)(passes * block);
    const BenchWork pass =
        bench_kernel_work(g, k, prefill ? block : item->batch, item->batch, fmax(past, 0));
    const BenchWork last =
        rest ? bench_kernel_work(g, k, rest, item->batch, before) : (BenchWork){0};
    return (BenchWork){pass.flops * (double)passes + last.flops,
                       pass.bytes * (double)passes + last.bytes};
}

/* ---- ceilings ------------------------------------------------------------------------------ */

/* What products multiply, in people's words. */
static const struct {
    Dtype dtype;
    const char *name;
} multiplied[] = {
    {DTYPE_f32,  "f32" },
    {DTYPE_bf16, "bf16"},
    {DTYPE_u8,   "int8"},
};

/* G operations a second of the fastest unit. Those of the run's own type were probed beside a
 * prefill; others are from the start of the run. */
static double
gops_of(const BenchRun *run, const BenchItem *item, Dtype dtype)
{
    const CgProbeId dot = bench_dot(run->machine, dtype);
    if (item->entry == ENTRY_prefill && dot == run->dot)
        return item->ceiling.best;
    return bench_ceiling_of(&run->ceilings[item->threads], dot)->best;
}

static double
gbs_of(const BenchRun *run, const BenchItem *item)
{
    return item->entry == ENTRY_decode ? item->ceiling.median
                                       : run->ceilings[item->threads].read.median;
}

/* ---- the table ----------------------------------------------------------------------------- */

/* Seconds of each step of an entry, but for those it had taken before; steps without time are left
 * out. */
static void
table_fill(Arena *arena, BenchProfile *t, const BenchRun *run, const BenchItem *item,
           const double *before)
{
    const Graph *g = run->graph[item->entry];
    const Kernel **kernels = step_kernels(arena, g, run->program);
    for (int s = 0; s < run->program->nsteps; s++) {
        const Kernel *k = kernels[s];
        const double seconds = rt_session_step_seconds(run->session[item->threads], s) - before[s];
        if (!k || seconds <= 0)
            continue;
        const bool head = kernel_is_head(g, k);
        const BenchWork work = work_of(run, item, g, k, head);
        BenchKernel *row = table_row(t, k->name, kernel_op(k), cost_kernel_dtype(k), head);
        row->count++;
        row->seconds += seconds;
        row->work.flops += work.flops;
        row->work.bytes += work.bytes;
        row->least += work.flops / gops_of(run, item, row->dtype) * 1e-9;
        t->seconds += seconds;
    }
}

/* ---- by kind ----------------------------------------------------------------------------- */

static const char *
kind_of(const BenchKernel *row)
{
    const OpClass cls = row->op < OP_COUNT ? op_info[row->op].cls : CLASS_POINTWISE;
    if (row->head)
        return "head";
    return cls == CLASS_RECURRENT  ? "state space"
           : cls == CLASS_CONTRACT ? "projections"
           : cls == CLASS_CONV     ? "convolution"
           : cls == CLASS_ATTEND   ? "attention"
           : cls == CLASS_LAYOUT   ? "attention" /* what it reads is kept */
                                   : "row by row";
}

static void
table_fold(BenchProfile *kinds, const BenchProfile *kernels)
{
    for (int i = 0; i < kernels->count; i++) {
        const BenchKernel *row = &kernels->rows[i];
        BenchKernel *kind = table_row(kinds, kind_of(row), OP_COUNT, DTYPE_COUNT, false);
        kind->count += row->count;
        kind->seconds += row->seconds;
        kind->work.flops += row->work.flops;
        kind->work.bytes += row->work.bytes;
        kind->least += row->least;
    }
    kinds->seconds = kernels->seconds;
}

/* ---- text -------------------------------------------------------------------------------- */

static const char *
multiplied_name(Dtype dtype)
{
    for (size_t i = 0; i < COUNT_OF(multiplied); i++)
        if (multiplied[i].dtype == dtype)
            return multiplied[i].name;
    return "dot"; /* of several types */
}

/* The nearer of its two ceilings binds a kernel. */
static void
put_row(StrBuf *out, const BenchKernel *row, double read_gbs, double total)
{
    const double gops = row->work.flops / row->seconds * 1e-9;
    const double gbs = row->work.bytes / row->seconds * 1e-9;
    const double dot = row->least / row->seconds, read = gbs / read_gbs;
    sb_printf(out, "  %-20s x%-4d %9.3f ms %5.1f %% %8.1f %7.1f   %5.1f %% of %s\n", row->name,
              row->count, 1e3 * row->seconds, 100 * row->seconds / total, gops, gbs,
              100 * (dot > read ? dot : read), dot > read ? multiplied_name(row->dtype) : "read");
}

static void
put_rows(StrBuf *out, const BenchProfile *t, double read_gbs)
{
    for (int i = 0; i < t->count; i++)
        put_row(out, &t->rows[i], read_gbs, t->seconds);
}

static bool
multiplies(const BenchProfile *t, Dtype dtype)
{
    for (int i = 0; i < t->count; i++)
        if (t->rows[i].dtype == dtype && t->rows[i].work.flops > 0)
            return true;
    return false;
}

/* Those of the types that some kernel multiplies. */
static void
put_ceilings(StrBuf *out, const BenchRun *run, const BenchItem *item, const BenchProfile *t)
{
    sb_puts(out, "   ceilings:");
    for (size_t i = 0; i < COUNT_OF(multiplied); i++)
        if (multiplies(t, multiplied[i].dtype))
            sb_printf(out, " %s %.0f Gop/s,", multiplied[i].name,
                      gops_of(run, item, multiplied[i].dtype));
    sb_printf(out, " read %.1f GB/s\n", gbs_of(run, item));
}

static void
put_table(StrBuf *out, Arena *arena, const BenchRun *run, const BenchItem *item,
          const BenchProfile *t)
{
    const double read_gbs = gbs_of(run, item);
    BenchProfile kinds = {.rows = arena_array(arena, (size_t)t->count + 1, sizeof *kinds.rows)};
    table_fold(&kinds, t);
    sb_printf(out, "\n%s of %lld tokens, batch %d, %d threads, by kernel:\n",
              entry_info[item->entry].name, (long long)item->tokens, item->batch,
              run->threads[item->threads]);
    sb_printf(out, "  %-20s %-5s %12s %7s %8s %7s", "", "", "time", "share", "Gop/s", "GB/s");
    put_ceilings(out, run, item, t);
    put_rows(out, t, read_gbs);
    sb_puts(out, "by kind:\n");
    put_rows(out, &kinds, read_gbs);
    sb_printf(out, "  sum of kernels %.3f ms of %.3f ms wall time: %.1f %%\n", 1e3 * t->seconds,
              1e3 * t->wall, 100 * t->seconds / t->wall);
}

/* ---- running ----------------------------------------------------------------------------- */

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
    if (item->entry == ENTRY_decode)
        out->wall *= (double)item->tokens;
    table_fill(arena, out, run, item, before);
    return status;
}

ssmc_status
bench_put_profile(StrBuf *out, BenchRun *run, const BenchItem *item)
{
    Arena *arena = arena_new();
    BenchProfile t;
    const ssmc_status status = bench_profile(arena, run, item, &t);
    if (status == SSMC_OK)
        put_table(out, arena, run, item, &t);
    arena_free(arena);
    return status;
}
