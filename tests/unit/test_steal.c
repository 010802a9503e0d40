/* tests/unit/test_steal.c -- the parts of a step, by thread with stealing: each is run once,
 * and those of a thread that falls behind are run by others; the barrier between steps; and the
 * mode of arithmetic that parts run in. The program is made by hand. */
#include <criterion/criterion.h>

#include <fenv.h>
#include <float.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/float_mode.h"
#include "runtime/internal.h"

enum { THREADS = 4, MOST_PIECES = 8, MOST_PARTS = THREADS * MOST_PIECES, SCRATCH = 64, RUNS = 50 };

/* What a step saw. */
typedef struct {
    atomic_int ran[MOST_PARTS]; /* times, by part */
    atomic_int parts, faults;
    bool first_waits; /* part 0 does not end before all others have run */
} Seen;

/* This thread rounds to nearest and takes denormal results and operands as 0. */
static bool
computes_as_kernels(void)
{
    volatile float least = FLT_MIN, half = 0.5f, huge = FLT_MAX, one = 1;
    float denormal;
    memcpy(&denormal, &(uint32_t){0x400000}, sizeof denormal);
    volatile float tiny = denormal;
    return least * half == 0 && tiny * huge == 0 && one + FLT_EPSILON * 0.25f == one &&
           one + FLT_EPSILON * 0.75f == one + FLT_EPSILON;
}

/* A part says what it is in its thread's scratch, where the part after it looks. */
static void
note(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    Seen *seen = operand[0];
    int64_t *scratch = (int64_t *)(void *)share->scratch;
    (void)call;
    const bool ok = share->part >= 0 && share->part < share->parts && share->parts <= MOST_PARTS &&
                    share->parts % share->threads == 0 &&
                    (share->before < 0 || share->before == *scratch) && computes_as_kernels();
    seen->faults += !ok;
    if (!ok)
        return;
    *scratch = share->part;
    seen->parts = (int)share->parts;
    seen->ran[share->part]++;
    while (share->part == 0 && seen->first_waits) {
        int others = 0;
        for (int64_t i = 1; i < share->parts; i++)
            others += seen->ran[i] > 0;
        if (others == share->parts - 1)
            break;
        sched_yield();
    }
}

/* Layers end and the head begins with a step of the same parity. */
static const AbiStep steps[] = {
    {note, "one", 0, 1, .pieces = 1},
    {note, "many", 1, 1, .pieces = MOST_PIECES},
    {note, "alone", 2, 1, .pieces = 0},
    {note, "alone", 3, 1, .pieces = 0},
    {note, "many", 4, 1, .pieces = MOST_PIECES},
    {note, "other", 5, 1, .pieces = MOST_PIECES},
    {note, "many", 6, 1, .pieces = MOST_PIECES},
    {note, "three", 7, 1, .pieces = 3},
    {note, "row", 8, 1, .pieces = 2, .by_rows = 1},
    {note, "row", 9, 1, .pieces = 2, .by_rows = 1},
    {note, "panel", 10, 1, .pieces = MOST_PIECES, .few = 6, .panels = 2 * THREADS + 1,
     .panel_bytes = 64},
};
enum { STEPS = RT_COUNT(steps), LAYERS = 5, HEAD = 6, ROW = 8, PANELS = 10 };
static const AbiProgram program = {.steps = steps, .nsteps = STEPS, .noperands = STEPS};

typedef struct {
    Seen seen[STEPS];
    void *operand[STEPS];
    AbiCall call;
    _Alignas(RT_LINE) char scratch[THREADS * SCRATCH];
    RtParts parts[2 * THREADS];
    RtRun run;
} Fixture;

static Fixture *
fixture_new(int64_t rows)
{
    Fixture *f = aligned_alloc(_Alignof(Fixture), sizeof *f);
    cr_assert(f);
    memset(f, 0, sizeof *f);
    for (int i = 0; i < STEPS; i++)
        f->operand[i] = &f->seen[i];
    f->call.rows = rows;
    f->run = (RtRun){
        .abi = &program,
        .operand = f->operand,
        .call = &f->call,
        .scratch = f->scratch,
        .scratch_stride = SCRATCH,
        .parts = f->parts,
        .range = {{0, LAYERS}, {HEAD, STEPS - HEAD}}
    };
    cr_assert_eq(rt_pool_open(THREADS, &f->run.pool), SSMC_OK);
    return f;
}

static void
fixture_free(Fixture *f)
{
    rt_pool_close(f->run.pool);
    free(f);
}

static void
expect_each_once(const Fixture *f, int step, int parts, int times)
{
    const Seen *seen = &f->seen[step];
    cr_expect_eq(seen->faults, 0, "step %d: %d faults", step, seen->faults);
    cr_expect_eq(seen->parts, parts, "step %d: %d parts", step, seen->parts);
    for (int i = 0; i < MOST_PARTS; i++)
        cr_expect_eq(seen->ran[i], i < parts ? times : 0, "step %d, part %d: %d times", step, i,
                     seen->ran[i]);
}

Test(steal, every_part_runs_once)
{
    Fixture *f = fixture_new(1000);
    for (int i = 0; i < RUNS; i++)
        rt_run(&f->run);
    for (int i = 0; i < STEPS; i++) {
        const int pieces = steps[i].pieces;
        if (i != LAYERS)
            expect_each_once(f, i, pieces ? THREADS * pieces : 1, RUNS);
    }
    fixture_free(f);
}

/* Were they not, part 0 would wait for parts that its own thread is to run after it. */
Test(steal, parts_of_a_slow_thread_are_run_by_others)
{
    Fixture *f = fixture_new(1000);
    f->seen[1].first_waits = f->seen[4].first_waits = f->seen[HEAD].first_waits = true;
    rt_run(&f->run);
    expect_each_once(f, 1, MOST_PARTS, 1);
    expect_each_once(f, 4, MOST_PARTS, 1);
    expect_each_once(f, HEAD, MOST_PARTS, 1);
    fixture_free(f);
}

Test(steal, short_passes_have_a_part_for_each_thread)
{
    Fixture *f = fixture_new(5);
    rt_run(&f->run);
    expect_each_once(f, 1, THREADS, 1);
    expect_each_once(f, 2, 1, 1);
    expect_each_once(f, HEAD + 1, THREADS, 1);
    expect_each_once(f, ROW, THREADS, 1);
    fixture_free(f);
}

/* But for panels, of which here each thread has two, one of them three. */
Test(steal, panels_are_parts_of_short_passes)
{
    Fixture *f = fixture_new(6);
    f->seen[PANELS].first_waits = true;
    rt_run(&f->run);
    expect_each_once(f, PANELS, 3 * THREADS, 1);
    f->call.rows = 7;
    f->seen[PANELS] = (Seen){0};
    rt_run(&f->run);
    expect_each_once(f, PANELS, THREADS, 1);
    fixture_free(f);
}

Test(steal, the_only_row_is_one_part)
{
    Fixture *f = fixture_new(1);
    rt_run(&f->run);
    expect_each_once(f, ROW, 1, 1);
    expect_each_once(f, ROW + 1, 1, 1);
    expect_each_once(f, HEAD, THREADS, 1);
    fixture_free(f);
}

/* ---- weights asked for ahead ------------------------------------------------------------------
 */

/* Of the next step with panels each thread asks for its share, in order, and for some of it alone;
 * at a barrier in between it goes on where it was. */
Test(ahead, threads_ask_for_the_panels_that_they_read_next)
{
    enum { MOST = 256 << 10 };
    static char weight[9 * MOST]; /* not read */
    Fixture *f = fixture_new(1);
    AbiStep two[] = {
        {note, "row", 0, 1, .pieces = 1, .by_rows = 1},
        {note, "panel", 1, 1, .pieces = 1, .few = 1, .panels = 9, .panel_bytes = 640}
    };
    const AbiProgram some = {.steps = two, .nsteps = 2};
    void *operand[] = {NULL, weight};
    f->run.abi = &some;
    f->run.operand = operand;
    for (int t = 0; t < THREADS; t++) {
        RtAhead ahead = {.step = -1};
        rt_ahead_turn(&ahead, &f->run, (AbiRange){0, 2}, 0, t);
        const char *from = weight + 9 * t / THREADS * 640,
                   *to = weight + 9 * (t + 1) / THREADS * 640;
        cr_expect(ahead.next == from && ahead.to == to, "thread %d", t);
        cr_expect(rt_ahead_ask(&ahead));
        const char *reached = ahead.next;
        rt_ahead_turn(&ahead, &f->run, (AbiRange){0, 2}, 1, t);
        cr_expect_eq(ahead.next, reached);
        while (rt_ahead_ask(&ahead))
            ;
        cr_expect_eq(ahead.next, to);
    }
    RtAhead ahead = {.step = -1};
    two[1].panel_bytes = MOST;
    rt_ahead_turn(&ahead, &f->run, (AbiRange){0, 2}, 0, 0);
    cr_expect_eq(ahead.to - ahead.next, MOST, "2 of 9 panels");
    f->call.rows = 2;
    ahead.step = -1;
    rt_ahead_turn(&ahead, &f->run, (AbiRange){0, 2}, 0, 0);
    cr_expect(!rt_ahead_ask(&ahead), "rows are divided, too");
    fixture_free(f);
}

/* The flags of exceptions seen are no mode. */
static RtFloatMode
mode(void)
{
#if defined(__x86_64__)
    return rt_float_mode() & ~(RtFloatMode)0x3f;
#else
    return rt_float_mode();
#endif
}

/* Every part notes a fault that is not in the mode. */
Test(steal, parts_run_in_one_mode_and_the_caller_keeps_his)
{
    static const int rounding[] = {FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO};
    Fixture *f = fixture_new(1000);
    for (size_t i = 0; i < RT_COUNT(rounding); i++) {
        const RtFloatMode preset = rt_float_mode();
        if (i == 2)
            rt_float_mode_kernels();
        fesetround(rounding[i]);
        const RtFloatMode before = mode();
        rt_run(&f->run);
        cr_expect_eq(mode(), before, "rounding %d", rounding[i]);
        fesetround(FE_TONEAREST);
        rt_float_mode_set(preset);
        cr_expect_not(computes_as_kernels());
    }
    for (int i = 0; i < STEPS; i++)
        cr_expect_eq(f->seen[i].faults, 0, "step %d", i);
    fixture_free(f);
}

/* ---- the barrier ----------------------------------------------------------------------------- */

typedef struct {
    RtPool *pool;
    int rounds, turns; /* turns: written by the last to come alone */
    atomic_int before, late;
} Meeting;

static void
note_turn(void *user)
{
    Meeting *m = user;
    m->late += m->before % rt_pool_threads(m->pool) != 0;
    m->turns++;
}

static void
meet(void *user, int thread, int threads)
{
    Meeting *m = user;
    (void)thread;
    (void)threads;
    for (int i = 0; i < m->rounds; i++) {
        m->before++;
        rt_pool_barrier_then(m->pool, note_turn, m);
        m->late += m->turns != i + 1;
        rt_pool_barrier(m->pool);
    }
}

Test(pool, the_last_to_come_acts_before_anybody_goes_on)
{
    for (int threads = 1; threads <= THREADS; threads++) {
        Meeting m = {.rounds = 200};
        cr_assert_eq(rt_pool_open(threads, &m.pool), SSMC_OK);
        rt_pool_run(m.pool, meet, &m);
        cr_expect_eq(m.turns, m.rounds);
        cr_expect_eq(m.late, 0, "%d threads: %d times", threads, m.late);
        rt_pool_close(m.pool);
    }
}
