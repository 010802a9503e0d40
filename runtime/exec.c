/* runtime/exec.c -- operands to addresses, once; steps over the pool, each time. */
#include "runtime/internal.h"

/* ---- operands ------------------------------------------------------------------------------ */

static char *
base_of(const AbiOperand *o, const RtSpaces *s)
{
    switch (o->space) {
    case ABI_SLAB:
        return s->slab;
    case ABI_PARAM:
        return (char *)s->there.params; /* written by the steps of init alone */
    case ABI_WEIGHT:
        return (char *)s->there.weights[o->index]; /* kernels do not write to weights */
    case ABI_STATE:
        return s->states;
    case ABI_KEPT:
        return s->kept ? s->kept + s->kept_at[o->index] : NULL;
    case ABI_INPUT:
        return s->input ? s->input[o->index] : NULL;
    case ABI_OUTPUT:
        return s->output;
    }
    return NULL;
}

/* Bytes from row 0 of an input or an output to `row`. An operand may be some columns of an output,
 * which is the last that begins before it. */
static size_t
rows_before(const AbiProgram *abi, const AbiOperand *o, int64_t row)
{
    if (o->space == ABI_INPUT)
        return (size_t)row * sizeof(int32_t);
    const AbiOutput *in = NULL;
    for (int i = 0; i < abi->noutputs && o->space == ABI_OUTPUT; i++)
        if (abi->outputs[i].offset <= o->offset && (!in || abi->outputs[i].offset > in->offset))
            in = &abi->outputs[i];
    return in ? (size_t)(row * in->stride * rt_abi_bits(in->dtype) / 8) : 0;
}

void
rt_operands_resolve(const AbiProgram *abi, const RtSpaces *spaces, void **operand)
{
    for (int i = 0; i < abi->noperands; i++) {
        char *base = base_of(&abi->operands[i], spaces);
        const AbiOperand *o = &abi->operands[i];
        operand[i] = base ? base + o->offset + rows_before(abi, o, spaces->row) : NULL;
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

/* What passed since the newest call belongs to the step that ran; the next one begins. */
static void
clock_turn(RtRun *run, int next)
{
    const double now = rt_now();
    if (run->running >= 0)
        run->seconds[run->running] += now - run->since;
    run->running = next;
    run->since = now;
}

/* What a thread does at the barrier before a step. */
typedef struct {
    RtRun *run;
    int next;
    RtAhead *ahead;
} Turn;

/* For the last thread to arrive: a fixed one could read the clock after others have run a step. */
static void
clock_at_barrier(void *user)
{
    const Turn *turn = user;
    clock_turn(turn->run, turn->next);
}

static bool
ask_at_barrier(void *user)
{
    const Turn *turn = user;
    return rt_ahead_ask(turn->ahead);
}

static void
lane_put(RtLane *lane, int step, double from)
{
    if (lane->count < lane->most)
        lane->events[lane->count++] = (RtEvent){step, from, rt_now()};
}

/* Panels are read from memory, at which threads are not alike fast: they are parts of short passes,
 * too. */
static int
pieces_of(const RtRun *run, const AbiStep *step, int threads)
{
    if (threads == 1 || step->pieces <= 1 || run->call->rows >= ABI_LONG_PASS)
        return threads == 1 ? 1 : step->pieces;
    if (!rt_step_has_few(step, run->call))
        return 1;
    const int64_t panels = (step->panels + threads - 1) / threads;
    return panels < step->pieces ? (int)panels : step->pieces;
}

/* Whether thread 0 runs the step, whose only row would be one thread's anyway: which, all know, so
 * that no barrier is needed between two of them. */
static bool
is_alone(const RtRun *run, const AbiStep *step)
{
    return !step->pieces || (step->by_rows && run->call->rows == 1);
}

/* Runs parts of a step until none is left. */
static void
run_parts(const RtRun *run, const AbiStep *step, int turn, int thread, int threads)
{
    void *const *operand = run->operand + step->first_operand;
    const int pieces = pieces_of(run, step, threads);
    AbiShare share = {.scratch = run->scratch + run->scratch_stride * (size_t)thread,
                      .part = thread,
                      .parts = (int64_t)threads * pieces,
                      .threads = threads,
                      .before = -1};
    if (pieces == 1) {
        step->run(operand, run->call, &share);
        return;
    }
    for (;;) {
        share.part = rt_steal_part(run->parts, turn, thread, threads, pieces);
        if (share.part < 0)
            return;
        step->run(operand, run->call, &share);
        share.before = share.part;
    }
}

/* One thread's work on a step. */
static void
run_step(const RtRun *run, int i, int turn, int thread, int threads)
{
    const AbiStep *step = &run->abi->steps[i];
    rt_steal_refill(run->parts, turn, thread, threads);
    const bool alone = is_alone(run, step);
    if (alone && thread > 0)
        return;
    const double from = run->lanes ? rt_now() : 0;
    run_parts(run, step, turn, thread, alone ? 1 : threads);
    if (run->lanes)
        lane_put(&run->lanes[thread], i, from);
}

/* One thread's work on all steps. A barrier stands between two steps, but for two that thread 0
 * runs alone. Who waits there asks for the weights that it reads next. */
static void
run_steps(void *user, int thread, int threads)
{
    RtRun *run = user;
    RtAhead ahead = {.step = -1};
    bool together = false; /* threads ran the step before */
    int turn = 0;
    for (int r = 0; r < RT_RANGES; r++) {
        const AbiRange range = run->range[r];
        for (int i = range.first; i < range.first + range.count; i++) {
            const bool alone = is_alone(run, &run->abi->steps[i]);
            Turn next = {run, i, &ahead};
            rt_ahead_turn(&ahead, run, range, i, thread);
            if (turn > 0 && (together || !alone))
                rt_pool_barrier_while(run->pool, run->seconds ? clock_at_barrier : NULL,
                                      ask_at_barrier, &next);
            else if (run->seconds && thread == 0)
                clock_turn(run, i);
            run_step(run, i, turn++, thread, threads);
            together = !alone;
        }
    }
}

void
rt_run(RtRun *run)
{
    run->running = -1;
    rt_steal_begin(run->parts, rt_pool_threads(run->pool));
    rt_pool_run(run->pool, run_steps, run);
    if (run->seconds)
        clock_turn(run, -1);
}
