/* bench/profile.c -- where the time of an item goes, kernel by kernel. */
#include <string.h>

#include "bench/bench.h"

static BenchKernel *
table_row(BenchProfile *t, const char *name, bool head)
{
    int i = 0;
    while (i < t->count && (strcmp(t->rows[i].name, name) != 0 || t->rows[i].head != head))
        i++;
    if (i == t->count)
        t->rows[t->count++] = (BenchKernel){.name = name, .head = head};
    return &t->rows[i];
}

static void
table_add(BenchProfile *t, const char *name, bool head, double seconds)
{
    BenchKernel *row = table_row(t, name, head);
    row->count++;
    row->seconds += seconds;
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

/* ---- by kind ----------------------------------------------------------------------------- */

static const char *
kind_of(const Graph *g, const BenchKernel *row)
{
    const Node *anchor = NULL;
    if (row->head)
        return "head";
    for (int i = 0; i < g->nkernels; i++)
        if (strcmp(g->kernels[i]->name, row->name) == 0 && !kernel_is_init(g, g->kernels[i]))
            anchor = g->kernels[i]->anchor;
    const OpClass cls = anchor ? op_info[anchor->op].cls : CLASS_POINTWISE;
    if (cls == CLASS_RECURRENT || (anchor && op_has_flag(anchor->op, 'S')))
        return "state space";
    return cls == CLASS_CONTRACT ? "projections" : cls == CLASS_CONV ? "convolution" : "row by row";
}

static void
table_fold(BenchProfile *kinds, const Graph *g, const BenchProfile *kernels)
{
    for (int i = 0; i < kernels->count; i++) {
        const BenchKernel *row = &kernels->rows[i];
        BenchKernel *kind = table_row(kinds, kind_of(g, row), false);
        kind->count += row->count;
        kind->seconds += row->seconds;
        kind->work.flops += row->work.flops;
        kind->work.bytes += row->work.bytes;
    }
    kinds->seconds = kernels->seconds;
}

/* ---- text -------------------------------------------------------------------------------- */

/* What a kernel is held against; the nearer of the two binds it. */
typedef struct {
    double gops, gbs;
} Ceilings;

/* Beside a prefill its dot was probed, beside a decode the read rate; the other is from the start
 * of the run. */
static Ceilings
ceilings_of(const BenchRun *run, const BenchItem *item)
{
    const BenchCeilings *c = &run->ceilings[item->threads];
    const BenchSample *dot = run->dot == PROBE_i8     ? &c->i8
                             : run->dot == PROBE_bf16 ? &c->bf16
                                                      : &c->f32;
    if (item->kind == BENCH_PREFILL)
        return (Ceilings){item->ceiling.best, c->read.median};
    return (Ceilings){dot->best, item->ceiling.median};
}

static void
put_row(StrBuf *out, const BenchKernel *row, const Ceilings *most, double total)
{
    const double gops = row->work.flops / row->seconds * 1e-9;
    const double gbs = row->work.bytes / row->seconds * 1e-9;
    const double dot = gops / most->gops, read = gbs / most->gbs;
    sb_printf(out, "  %-20s x%-4d %9.3f ms %5.1f %% %8.1f %7.1f   %5.1f %% of %s\n", row->name,
              row->count, 1e3 * row->seconds, 100 * row->seconds / total, gops, gbs,
              100 * (dot > read ? dot : read), dot > read ? "dot" : "read");
}

static void
put_rows(StrBuf *out, const BenchProfile *t, const Ceilings *most)
{
    for (int i = 0; i < t->count; i++)
        put_row(out, &t->rows[i], most, t->seconds);
}

static void
put_table(StrBuf *out, Arena *arena, const BenchRun *run, const BenchItem *item,
          const BenchProfile *t)
{
    const bool prefill = item->kind == BENCH_PREFILL;
    const Ceilings most = ceilings_of(run, item);
    BenchProfile kinds = {.rows = arena_array(arena, (size_t)t->count + 1, sizeof *kinds.rows)};
    table_fold(&kinds, run->graph[prefill ? 0 : 1], t);
    sb_printf(out, "\n%s of %lld tokens, batch %d, %d threads, by kernel:\n",
              prefill ? "prefill" : "decode", (long long)item->tokens, item->batch,
              run->threads[item->threads]);
    sb_printf(out, "  %-20s %-5s %12s %7s %8s %7s   ceilings: dot %.0f Gop/s, read %.1f GB/s\n", "",
              "", "time", "share", "Gop/s", "GB/s", most.gops, most.gbs);
    put_rows(out, t, &most);
    sb_puts(out, "by kind:\n");
    put_rows(out, &kinds, &most);
    sb_printf(out, "  sum of kernels %.3f ms of %.3f ms wall time: %.1f %%\n", 1e3 * t->seconds,
              1e3 * t->wall, 100 * t->seconds / t->wall);
}

/* ---- running ----------------------------------------------------------------------------- */

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
        put_table(out, arena, run, item, &t);
    arena_free(arena);
    return status;
}
