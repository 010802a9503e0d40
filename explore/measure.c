/* explore/measure.c -- compiled points measured in turn, so that a machine that slows down slows
 * all of them, and what came of it as rows. */
#include "explore/explore.h"

#include <math.h>
#include <string.h>

/* ---- order ------------------------------------------------------------------------------- */

/* Both ends and the middle come first, then the middles of what lies between. */
int
explore_level(int i, int n)
{
    int low = 0, high = n - 1, level = 0;
    while (i != low && i != high) {
        const int middle = (low + high) / 2;
        if (i == middle)
            return level;
        if (i < middle)
            high = middle;
        else
            low = middle;
        level++;
    }
    return level;
}

/* ---- what is measured ---------------------------------------------------------------------- */

static void
item_add(BenchRun *run, BenchItem item)
{
    if (run->nitems == BENCH_MAX_ITEMS)
        die("more than %d things to measure of one point", BENCH_MAX_ITEMS);
    run->items[run->nitems++] = item;
    run->room = item.tokens > run->room ? item.tokens : run->room;
}

void
explore_case_items(ExploreCase *c, const int64_t *tokens, int ntokens, int64_t decode)
{
    for (int t = 0; t < c->run.nthreads; t++)
        for (int i = 0; i < ntokens; i++)
            item_add(
                &c->run,
                (BenchItem){.entry = ENTRY_prefill, .tokens = tokens[i], .batch = 1, .threads = t});
    c->nrows = c->run.nitems;
    for (int t = 0; t < c->run.nthreads; t++)
        item_add(&c->run,
                 (BenchItem){.entry = ENTRY_decode, .tokens = decode, .batch = 1, .threads = t});
}

/* Every kernel's operands once a pass, over the tokens of a pass. */
static double
prefill_bytes(const BenchRun *run)
{
    const Graph *g = run->graph[ENTRY_prefill];
    double sum = 0;
    for (int i = 0; i < g->nkernels; i++)
        if (!kernel_is_init(g, g->kernels[i]) && !kernel_is_head(g, g->kernels[i]))
            sum += bench_kernel_work(g, g->kernels[i], g->block, 1, 0).bytes;
    return sum / (double)g->block;
}

void
explore_case_describe(ExploreCase *c, const ssmc_program *program)
{
    BenchRun *run = &c->run;
    const BenchFlops flops = bench_flops(run->graph[ENTRY_prefill]);
    const double decode = bench_decode_bytes(run->graph[ENTRY_decode], run->program, 1, 0);
    const double bytes = prefill_bytes(run);
    for (int i = 0; i < c->nrows; i++) {
        ExploreRow *row = &c->rows[i];
        const ssmc_memory m = ssmc_program_memory(program, 1, run->threads[run->items[i].threads]);
        const size_t kept = rt_kept_full(program, run->items[i].tokens);
        row->memory_bytes = (int64_t)(m.total + kept);
        row->weight_bytes = (int64_t)(m.kept + m.params);
        row->state_bytes = (int64_t)(m.state + kept);
        const double tokens = (double)run->items[i].tokens;
        const double attention =
            tokens > 0 ? bench_attention_flops(run->graph[ENTRY_prefill], 0, tokens) / tokens : 0;
        row->flops = flops.linear + flops.recurrent + attention;
        row->recurrent_flops = flops.recurrent;
        row->bytes = bytes;
        row->decode_bytes = decode;
    }
}

/* ---- passes -------------------------------------------------------------------------------- */

/* What is true while a batch is measured. */
typedef struct {
    ExploreCase *cases;
    int count;
    BenchRun *anchor;
    const ExplorePace *pace;
    int pass, whole; /* the pass that runs; passes over everything */
    int *done;       /* [count * BENCH_MAX_ITEMS] rounds of each item */
    double *total;   /* [passes] seconds of each pass */
} Measuring;

static int *
done_at(const Measuring *m, int which, int item)
{
    return &m->done[which * BENCH_MAX_ITEMS + item];
}

static bool
is_over(const Measuring *m)
{
    return m->pace->stop(m->pace->user) || rt_now() >= m->pace->over;
}

/* A block of tokens, and a step: caches and pages are as they will be. */
static ssmc_status
warm_up(ExploreCase *c)
{
    ssmc_status status = SSMC_OK;
    for (int i = 0; i < c->run.nitems && status == SSMC_OK; i++) {
        BenchItem item = c->run.items[i];
        const bool last = i + 1 == c->nrows || c->run.items[i + 1].threads != item.threads;
        const int64_t most = item.entry == ENTRY_prefill ? c->run.graph[ENTRY_prefill]->block : 2;
        double seconds = 0;
        item.tokens = item.tokens < most ? item.tokens : most;
        if (item.entry == ENTRY_decode || last)
            status = bench_item_once(&c->run, &item, &seconds);
    }
    return status;
}

static ssmc_status
case_pass(Measuring *m, int which)
{
    ExploreCase *c = &m->cases[which];
    ssmc_status status = SSMC_OK;
    for (int i = 0; i < c->run.nitems && status == SSMC_OK && !is_over(m); i++) {
        BenchItem *item = &c->run.items[i];
        status = bench_item_round(&c->run, item, m->pass);
        const double steps = item->entry == ENTRY_decode ? (double)item->tokens : 1;
        m->total[m->pass] += item->raw[m->pass] * steps;
        *done_at(m, which, i) += status == SSMC_OK;
    }
    return status;
}

/* Every other pass goes backwards: a steady drift hits both ends alike. */
static ssmc_status
all_passes(Measuring *m)
{
    enum { FEW = 2 };
    ssmc_status status = SSMC_OK;
    for (m->pass = 0; m->pass < m->pace->passes && status == SSMC_OK; m->pass++) {
        if (is_over(m) || (m->pass >= FEW && rt_now() >= m->pace->enough))
            break;
        for (int i = 0; i < m->count && status == SSMC_OK; i++) {
            status = case_pass(m, m->pass % 2 ? m->count - 1 - i : i);
            m->pace->step(m->pace->user);
        }
        if (m->anchor && status == SSMC_OK)
            status = bench_item_round(m->anchor, &m->anchor->items[0], m->pass);
        m->whole += !is_over(m);
    }
    return status;
}

/* ---- kernels ------------------------------------------------------------------------------- */

static ssmc_status
put_kernels(Arena *arena, StrBuf *out, BenchRun *run, const BenchItem *item)
{
    BenchProfile p;
    const ssmc_status status = bench_profile(arena, run, item, &p);
    for (int i = 0; i < p.count && status == SSMC_OK; i++) {
        const BenchKernel *k = &p.rows[i];
        sb_printf(out, "%s%s:%s:%d:%.4g:%.6g:%.6g", out->len ? " " : "",
                  item->entry == ENTRY_prefill ? k->head ? "head" : "prefill" : "decode", k->name,
                  k->count, k->seconds, k->work.flops, k->work.bytes);
    }
    return status;
}

/* Profiles the kernels of two blocks of tokens and of a few decode steps with the last number of
 * threads, for the rows with that number. */
static ssmc_status
case_kernels(Arena *arena, ExploreCase *c)
{
    enum { STEPS = 4 };
    StrBuf text = {0};
    BenchItem prefill = c->run.items[c->nrows - 1], decode = c->run.items[c->run.nitems - 1];
    const int64_t two = 2 * c->run.graph[ENTRY_prefill]->block;
    prefill.tokens = prefill.tokens < two ? prefill.tokens : two;
    decode.tokens = decode.tokens < STEPS ? decode.tokens : STEPS;
    ssmc_status status = put_kernels(arena, &text, &c->run, &prefill);
    if (status == SSMC_OK)
        status = put_kernels(arena, &text, &c->run, &decode);
    const char *kernels = arena_strdup(arena, sb_text(&text));
    for (int i = 0; i < c->nrows && status == SSMC_OK; i++)
        if (c->run.items[i].threads == prefill.threads)
            c->rows[i].kernels = kernels;
    sb_free(&text);
    return status;
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Of all passes there were. The item is ready for the next batch again. */
static double
anchor_rate(const Measuring *m)
{
    if (!m->anchor || m->pass < 1)
        return NAN;
    BenchItem *item = &m->anchor->items[0];
    bench_item_settle(item, m->pass);
    item->probed = 0;
    return bench_tokens_per_s(item);
}

static void
row_fill(const Measuring *m, int which, int i)
{
    ExploreCase *c = &m->cases[which];
    const int other = c->nrows + c->run.items[i].threads, /* decodes with as many threads */
        rounds = *done_at(m, which, i), steps = *done_at(m, which, other);
    BenchItem *prefill = &c->run.items[i], *decode = &c->run.items[other];
    ExploreRow *row = &c->rows[i];
    if (rounds < 1 || steps < 1)
        return;
    bench_item_settle(prefill, rounds);
    bench_item_settle(decode, steps);
    row->status = explore_ok;
    row->repeats = rounds < steps ? rounds : steps;
    row->prefill_tps = bench_tokens_per_s(prefill);
    row->prefill_spread = prefill->seconds.spread;
    row->decode_tps = bench_tokens_per_s(decode);
    row->decode_spread = decode->seconds.spread;
    row->drift = m->whole > 1 ? m->total[m->whole - 1] / m->total[0] - 1 : NAN;
    row->peak_gops = prefill->ceiling.best;
    row->prefill_share = bench_share(&c->run, prefill);
    row->read_gbs = decode->ceiling.median;
    row->decode_share = bench_share(&c->run, decode);
}

ssmc_status
explore_measure(Arena *arena, ExploreCase *cases, int count, BenchRun *anchor,
                const ExplorePace *pace)
{
    Measuring m = {.cases = cases, .count = count, .anchor = anchor, .pace = pace};
    m.done = arena_array(arena, (size_t)count * BENCH_MAX_ITEMS, sizeof *m.done);
    m.total = arena_array(arena, (size_t)pace->passes, sizeof *m.total);
    ssmc_status status = SSMC_OK;
    for (int i = 0; i < count && status == SSMC_OK && !is_over(&m); i++)
        status = warm_up(&cases[i]);
    if (status == SSMC_OK)
        status = all_passes(&m);
    const double rate = status == SSMC_OK ? anchor_rate(&m) : NAN;
    if (pace->stop(pace->user)) /* what is half done is done again another time */
        return status;
    for (int k = 0; k < count && status == SSMC_OK; k++)
        for (int i = 0; i < cases[k].nrows; i++) {
            row_fill(&m, k, i);
            cases[k].rows[i].anchor_tps = rate;
        }
    for (int k = 0; k < count && status == SSMC_OK && !pace->stop(pace->user); k++)
        if (explore_is_ok(&cases[k].rows[cases[k].nrows - 1]))
            status = case_kernels(arena, &cases[k]);
    return status;
}
