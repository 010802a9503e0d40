/* bench/rounds.c -- the rounds in which everything is measured in turn. */
#include <string.h>

#include "bench/bench.h"

/* ---- a compiled model ------------------------------------------------------------------------ */

void
bench_run_of(BenchRun *run, const Job *job)
{
    run->machine = &job->machine;
    run->name = job->fe.graph->name;
    run->version = SSMC_VERSION;
    run->parameters = (double)job->parameters;
    memcpy(run->graph, job->graph, sizeof run->graph);
    run->program = rt_program_abi(job->program);
    run->model = job->model;
    run->format = job->fe.compile.format;
    const bool triples = strcmp(job->fe.compile.dot, "bf16x3") == 0 && job->machine.matrix.bf16;
    run->dot = bench_dot(&job->machine, format_info[run->format].bits ? DTYPE_u8
                                        : triples                     ? DTYPE_bf16
                                                  : format_info[run->format].reals);
    run->threads[0] = job->threads;
    run->room = SSMC_ROOM;
}

/* ---- one run of an item -------------------------------------------------------------------- */

static ssmc_status
run_prefill(BenchRun *run, const BenchItem *item, double *seconds)
{
    ssmc_session *session = run->session[item->threads];
    ssmc_status status = ssmc_reset(session, 0);
    const double at = rt_now();
    if (status == SSMC_OK)
        status = ssmc_draw(
            session, &(ssmc_turn){.ids = run->ids, .count = item->tokens, .sampler = run->greedy},
            1);
    *seconds = rt_now() - at;
    return status;
}

/* Greedily: each id that is drawn is the next that is fed. */
static ssmc_status
run_decode(BenchRun *run, const BenchItem *item, double *seconds)
{
    int seqs[BENCH_MAX_BATCH];
    for (int s = 0; s < item->batch; s++)
        seqs[s] = s;
    ssmc_session *session = run->session[item->threads];
    ssmc_status status = SSMC_OK;
    for (int s = 0; s < item->batch && status == SSMC_OK; s++)
        status = run->before ? ssmc_rewind(session, s, run->before) : ssmc_reset(session, s);
    const double at = rt_now();
    if (status == SSMC_OK)
        status = ssmc_greedy(session, seqs, run->ids, item->batch, item->tokens, run->made);
    *seconds = (rt_now() - at) / (double)item->tokens;
    return status;
}

ssmc_status
bench_item_once(BenchRun *run, const BenchItem *item, double *seconds)
{
    return item->entry == ENTRY_prefill ? run_prefill(run, item, seconds)
                                        : run_decode(run, item, seconds);
}

/* The ceiling at this moment: bandwidth changes on machines that others use too. */
static void
probe(BenchRun *run, BenchItem *item)
{
    const BenchCeilings *c = &run->ceilings[item->threads];
    item->beside[item->probed++] = item->entry == ENTRY_prefill
                                       ? bench_probe_arithmetic(run->probes, run->dot, c->threads)
                                       : bench_probe_memory(run->probes, c->read_by, c->threads);
}

ssmc_status
bench_item_round(BenchRun *run, BenchItem *item, int round)
{
    double seconds = 0;
    probe(run, item);
    const ssmc_status status = bench_item_once(run, item, &seconds);
    item->raw[round] = seconds;
    probe(run, item);
    return status;
}

void
bench_item_settle(BenchItem *item, int rounds)
{
    item->seconds = bench_times(item->raw, rounds);
    item->ceiling = bench_rates(item->beside, item->probed);
}

/* Round -1 warms up. */
static ssmc_status
round_of(BenchRun *run, int round)
{
    ssmc_status status = SSMC_OK;
    double seconds = 0;
    for (int i = 0; i < run->nitems && status == SSMC_OK; i++)
        status = round < 0 ? bench_item_once(run, &run->items[i], &seconds)
                           : bench_item_round(run, &run->items[i], round);
    return status;
}

/* ---- all rounds ---------------------------------------------------------------------------- */

static int64_t
most_ids(const BenchRun *run)
{
    int64_t most = run->past > 1 ? run->past : 1;
    for (int i = 0; i < run->nitems; i++) {
        const int64_t needed = run->items[i].tokens + run->items[i].batch;
        most = needed > most ? needed : most;
    }
    return most;
}

static int
most_sequences(const BenchRun *run)
{
    int most = 1;
    for (int i = 0; i < run->nitems; i++)
        most = run->items[i].batch > most ? run->items[i].batch : most;
    return most;
}

/* Ids that an item decodes at most, of all its sequences. */
static size_t
most_made(const BenchRun *run)
{
    size_t most = 1;
    for (int i = 0; i < run->nitems; i++) {
        const size_t made = (size_t)run->items[i].tokens * (size_t)run->items[i].batch;
        most = made > most ? made : most;
    }
    return most;
}

/* Any ids do: no kernel's time depends on them but for the rows embed touches. */
static int32_t
some_id(uint64_t i, int64_t vocab)
{
    const uint64_t mixed = (i + 1) * 0x9E3779B97F4A7C15u;
    return (int32_t)((mixed >> 33) % (uint64_t)vocab);
}

static void
prepare(Arena *arena, BenchRun *run)
{
    const int64_t vocab = abi_logits(run->program)->width, ids = most_ids(run);
    run->flops = bench_flops(run->graph[ENTRY_prefill]);
    run->ids = arena_array(arena, (size_t)ids, sizeof *run->ids);
    for (int64_t i = 0; i < ids; i++)
        run->ids[i] = some_id((uint64_t)i, vocab);
    run->made = arena_array(arena, most_made(run), sizeof *run->made);
    const size_t repeats = (size_t)run->repeats;
    for (int i = 0; i < run->nitems; i++) {
        run->items[i].raw = arena_array(arena, repeats, sizeof(double));
        run->items[i].beside = arena_array(arena, 2 * repeats, sizeof(double));
    }
}

static ssmc_status
open_sessions(BenchRun *run)
{
    const ssmc_sampling greedy = {0};
    ssmc_status status = ssmc_sampler_open(&greedy, abi_logits(run->program)->width, &run->greedy);
    for (int t = 0; t < run->nthreads && status == SSMC_OK; t++)
        status = ssmc_session_open_for(run->model, most_sequences(run), run->threads[t], run->room,
                                       &run->session[t]);
    return status;
}

static ssmc_status
read_past(BenchRun *run)
{
    ssmc_session *session = run->session[run->nthreads - 1];
    ssmc_status status = ssmc_prefill(session, 0, run->ids, run->past, NULL);
    if (status == SSMC_OK)
        status = ssmc_checkpoint_take(session, 0, &run->before);
    return status == SSMC_OK ? ssmc_reset(session, 0) : status;
}

static int
most_threads(const BenchRun *run)
{
    int most = 1;
    for (int t = 0; t < run->nthreads; t++)
        most = run->threads[t] > most ? run->threads[t] : most;
    return most;
}

ssmc_status
bench_ready(Arena *arena, BenchRun *run)
{
    prepare(arena, run);
    const ssmc_status status = open_sessions(run);
    return status == SSMC_OK && run->past > 0 ? read_past(run) : status;
}

bool
bench_rounds(Arena *arena, BenchRun *run, ssmc_status *status, const char **why)
{
    *why = NULL;
    *status = SSMC_OK;
    run->probes = bench_probes_open(arena, run->machine, most_threads(run), why);
    if (!run->probes)
        return false;
    *why = NULL; /* from here on it is the runtime that says what is wrong */
    for (int t = 0; t < run->nthreads; t++)
        run->ceilings[t] = bench_ceilings(run->probes, run->threads[t]);
    *status = bench_ready(arena, run);
    for (int round = -1; round < run->repeats && *status == SSMC_OK; round++)
        *status = round_of(run, round);
    for (int i = 0; i < run->nitems && *status == SSMC_OK; i++)
        bench_item_settle(&run->items[i], run->repeats);
    return *status == SSMC_OK;
}

void
bench_end(BenchRun *run)
{
    for (int t = 0; t < run->nthreads; t++)
        ssmc_session_close(run->session[t]);
    ssmc_sampler_close(run->greedy);
    ssmc_checkpoint_drop(run->before);
    bench_probes_close(run->probes);
}

/* ---- what they mean ------------------------------------------------------------------------ */

double
bench_tokens_per_s(const BenchItem *item)
{
    const double tokens = item->entry == ENTRY_prefill ? (double)item->tokens : item->batch;
    return tokens / item->seconds.median;
}

/* A prompt begins with nothing, and its passes see more and more of it. */
double
bench_item_past(const BenchRun *run, const BenchItem *item)
{
    const double before = item->entry == ENTRY_decode ? (double)run->past : 0;
    return before + (double)item->tokens / 2;
}

double
bench_item_work(const BenchRun *run, const BenchItem *item)
{
    if (item->entry == ENTRY_prefill)
        return (double)item->tokens * (run->flops.linear + run->flops.recurrent) +
               bench_attention_flops(run->graph[ENTRY_prefill], 0, (double)item->tokens);
    return bench_decode_bytes(run->graph[ENTRY_decode], run->program, item->batch,
                              bench_item_past(run, item));
}

/* Arithmetic is held against the best that was seen: it changes little, and only for the worse.
 * Bandwidth changes with what other users of the machine do, so it is the median beside it. */
double
bench_share(const BenchRun *run, const BenchItem *item)
{
    const double ceiling = item->entry == ENTRY_prefill ? item->ceiling.best : item->ceiling.median;
    return bench_item_work(run, item) / item->seconds.median * 1e-9 / ceiling;
}
