/* tests/unit/test_kept.c -- growing states: rows of a program made by hand, whose kernel looks at
 * all of them before each pass, through everything that can happen to a sequence; sessions at their
 * capacity; files that say what cannot be. */
#include <criterion/criterion.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/session.h"
#include "tests/allocations.h"
#include "tests/harness.h"

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())

/* ---- a program that keeps its ids ---------------------------------------------------------- */

/* WIDE: so that a group of 64 rows is 128 KiB, and some groups are more than is written to be
 * zero. */
enum {
    V = 97,
    WIDE = 512,
    NEAR = 40,
    SEQUENCES = 4,
    LONGEST = 1024,
    BLOCK = 16,
    LARGE_BLOCK = 200
};

/* What the test has told each sequence, which the kernel knows. */
typedef struct {
    int32_t id[LONGEST];
    int64_t count;
} Told;
static Told *told; /* [SEQUENCES] of the session that is fed */
static int looks;

static float
element(int32_t id, int64_t position, int64_t i)
{
    return (float)(1 + id + 100 * position + i % 7);
}

static const float *
row_at(const float *state, const AbiCall *call, int64_t slot, int64_t row)
{
    return (const float *)((const char *)state + slot * call->kept_stride) + row * WIDE;
}

/* All of a state's rows of the sequence: what was told it, and zeros from there on. */
static void
look_at_all(const float *state, const AbiCall *call, const AbiSeg *seg)
{
    const Told *t = &told[seg->slot];
    for (int64_t row = 0; row < call->room; row++) {
        const float *at = row_at(state, call, seg->slot, row);
        for (int64_t i = 0; i < WIDE; i += 73) {
            const float want = row < seg->past ? element(t->id[row], row, i) : 0;
            cr_assert_eq(at[i], want, "row %d of %d, sequence %d", (int)row, (int)seg->past,
                         (int)seg->slot);
        }
    }
}

static void
look_at_window(const float *state, const AbiCall *call, const AbiSeg *seg)
{
    const int64_t rows = abi_state_rows(NEAR, call->room, call->block);
    for (int64_t p = seg->past < NEAR ? 0 : seg->past - NEAR; p < seg->past; p++) {
        const float *at = row_at(state, call, seg->slot, p % rows);
        for (int64_t i = 0; i < WIDE; i += 73)
            cr_assert_eq(at[i], element(told[seg->slot].id[p], p, i), "position %d of %d", (int)p,
                         (int)seg->past);
    }
}

static void
keep(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    const int32_t *ids = operand[0];
    float *all = operand[1], *near = operand[2];
    const int64_t rows = abi_state_rows(NEAR, call->room, call->block);
    cr_assert(share->part == 0 && call->room % ABI_ROOM_STEP == 0);
    cr_assert_geq(call->block, ABI_ROOM_STEP);
    for (int64_t s = 0; s < call->nseg; s++) {
        const AbiSeg *seg = &call->seg[s];
        look_at_all(all, call, seg);
        look_at_window(near, call, seg);
        for (int64_t t = 0; t < seg->len; t++) {
            const int64_t p = seg->past + t;
            float *a = (float *)row_at(all, call, seg->slot, p);
            float *b = (float *)row_at(near, call, seg->slot, p % rows);
            for (int64_t i = 0; i < WIDE; i++)
                a[i] = b[i] = element(ids[seg->row + t], p, i);
        }
    }
    looks++;
}

static const AbiOperand operands[] = {
    {ABI_INPUT, 0, 0},
    {ABI_KEPT,  0, 0},
    {ABI_KEPT,  2, 0}
};
static const AbiStep steps[] = {
    {keep, "keep", 0, 3, .pieces = 0}
};
static const AbiState states[] = {
    {.name = "all", .row_bytes = WIDE * 4, .rank = 2, .dim = {0, WIDE}},
    {.name = "fixed", .bytes = 12, .rank = 1, .dim = {3}},
    {.name = "near", .row_bytes = WIDE * 4, .window = NEAR, .rank = 2, .dim = {0, WIDE}},
};
static const AbiEntry entry = {
    "all", .block = BLOCK, .rows = 1, .grain = 1, .layers = {0, 1}
};
static const AbiInput input = {"ids", ABI_TOKENS};
static const AbiOutput logits = {"logits", ABI_F32, ABI_PICKED, V, V, 0, 0};
static const AbiProgram program = {
    .name = "kept",
    .identity = 7,
    .numerics = "f32",
    .state_bytes = 12,
    .output_bytes = V * 4,
    .entries = &entry,
    .inputs = &input,
    .outputs = &logits,
    .nentries = 1,
    .ninputs = 1,
    .noutputs = 1,
    .steps = steps,
    .operands = operands,
    .states = states,
    .nsteps = RT_COUNT(steps),
    .noperands = RT_COUNT(operands),
    .nstates = RT_COUNT(states),
};

typedef struct {
    ssmc_program *program;
    ssmc_weights *weights;
    ssmc_model *model;
    ssmc_session *session;
} Run;

static Run
run_open(const AbiProgram *abi, int sequences, int64_t room)
{
    Run r = {0};
    OK(rt_weights_init(NULL, 0, 0, 1, NULL, NULL, &r.weights));
    OK(rt_program_wrap(abi, &r.program));
    OK(ssmc_model_open(r.program, r.weights, 1, NULL, NULL, &r.model));
    OK(ssmc_session_open_for(r.model, sequences, 2, room, &r.session));
    return r;
}

static void
run_close(Run *r)
{
    ssmc_session_close(r->session);
    ssmc_model_close(r->model);
    rt_program_free(r->program);
    rt_weights_close(r->weights);
}

/* Of a sequence of `told`, n more ids. */
static ssmc_input
tell(int seq, int64_t n)
{
    Told *t = &told[seq];
    const int64_t from = t->count;
    for (; t->count < from + n; t->count++)
        t->id[t->count] = (int32_t)((t->count * t->count + 31 * seq + n) % V);
    return (ssmc_input){.seq = seq, .ids = t->id + from, .count = n};
}

static void
feed(ssmc_session *s, int seq, int64_t n)
{
    const ssmc_input in = tell(seq, n);
    OK(ssmc_feed(s, &in, 1));
}

/* ---- whatever happens ---------------------------------------------------------------------- */

typedef struct {
    uint64_t x;
} Random;

static int64_t
below(Random *r, int64_t n)
{
    r->x = r->x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((r->x >> 33) % (uint64_t)n);
}

enum { KEPT = 5, FILES = 3 };

/* Two sessions, of builds whose rings have other lengths, and what was kept of their sequences. */
typedef struct {
    Run run[2];
    Told told[2][SEQUENCES], checkpointed[2][KEPT], saved[FILES];
    ssmc_checkpoint *checkpoint[2][KEPT];
    char *path[FILES];
    bool there[FILES];
    Random random;
} World;

static void
random_feed(World *w, int which)
{
    ssmc_input in[SEQUENCES];
    int n = 0;
    for (int seq = 0; seq < SEQUENCES; seq++) {
        const int64_t left = ssmc_room(w->run[which].session) - told[seq].count;
        const int64_t most = below(&w->random, 3) ? 20 : 300;
        if (left > 0 && below(&w->random, 2))
            in[n++] = tell(seq, 1 + below(&w->random, left < most ? left : most));
    }
    if (n)
        OK(ssmc_feed(w->run[which].session, in, n));
}

static void
random_turn(World *w, int which)
{
    ssmc_session *s = w->run[which].session;
    const int seq = (int)below(&w->random, SEQUENCES), other = (int)below(&w->random, SEQUENCES);
    const int i = (int)below(&w->random, KEPT), file = (int)below(&w->random, FILES);
    switch (below(&w->random, 9)) {
    case 0:
        OK(ssmc_reset(s, seq));
        told[seq].count = 0;
        break;
    case 1:
        OK(ssmc_fork(s, seq, other));
        told[other] = told[seq];
        break;
    case 2:
        ssmc_checkpoint_drop(w->checkpoint[which][i]);
        OK(ssmc_checkpoint_take(s, seq, &w->checkpoint[which][i]));
        w->checkpointed[which][i] = told[seq];
        break;
    case 3:
        if (!w->checkpoint[which][i])
            break;
        OK(ssmc_rewind(s, seq, w->checkpoint[which][i]));
        told[seq] = w->checkpointed[which][i];
        break;
    case 4:
        OK(ssmc_state_save(s, seq, w->path[file], NULL, 0));
        w->saved[file] = told[seq];
        w->there[file] = true;
        break;
    case 5:
        if (!w->there[file])
            break;
        if (w->saved[file].count > ssmc_room(s)) {
            cr_assert_eq(ssmc_state_load(s, seq, w->path[file], NULL, NULL), SSMC_FULL);
            break;
        }
        OK(ssmc_state_load(s, seq, w->path[file], NULL, NULL));
        told[seq] = w->saved[file];
        break;
    default:
        random_feed(w, which);
    }
    for (int k = 0; k < SEQUENCES; k++)
        cr_assert_eq(ssmc_tokens(s, k), told[k].count);
}

Test(kept, rows_are_what_was_told_whatever_happens)
{
    char *dir = temp_dir(), name[32];
    World *w = calloc(1, sizeof *w);
    AbiProgram large = program;
    AbiEntry wide = entry;
    wide.block = LARGE_BLOCK;
    large.entries = &wide;
    w->random.x = 1;
    w->run[0] = run_open(&program, SEQUENCES, LONGEST);
    w->run[1] = run_open(&large, SEQUENCES, 700);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "%d.state", i);
        w->path[i] = path_join(dir, name);
    }
    looks = 0;
    for (int turn = 0; turn < 1500; turn++) {
        const int which = (int)below(&w->random, 2);
        told = w->told[which];
        random_turn(w, which);
    }
    cr_expect_gt(looks, 500);
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < KEPT; i++)
            ssmc_checkpoint_drop(w->checkpoint[which][i]);
        run_close(&w->run[which]);
    }
    for (int i = 0; i < FILES; i++)
        free(w->path[i]);
    free(w);
    temp_dir_remove(dir);
}

/* The program's own room is a multiple of 64; the block a whole group. */
Test(kept, running_allocates_nothing)
{
    Told mine[SEQUENCES] = {0};
    ssmc_checkpoint *c = NULL;
    Run r = run_open(&program, SEQUENCES, 1000);
    told = mine;
    cr_expect_eq(ssmc_room(r.session), 1024);
    feed(r.session, 0, 300);
    OK(ssmc_checkpoint_take(r.session, 0, &c));
    const Told before = told[0];
    const uint64_t all = allocations();
    feed(r.session, 0, 700);
    OK(ssmc_fork(r.session, 0, 1));
    told[1] = told[0];
    OK(ssmc_rewind(r.session, 0, c));
    told[0] = before;
    feed(r.session, 0, 1);
    feed(r.session, 1, 24);
    OK(ssmc_reset(r.session, 1));
    told[1].count = 0;
    feed(r.session, 1, 5);
    cr_expect_eq(allocations(), all);
    ssmc_checkpoint_drop(c);
    run_close(&r);
}

/* ---- full ---------------------------------------------------------------------------------- */

static void
expect_says(const char *says)
{
    cr_expect(strstr(ssmc_error(), says), "expected '%s' in '%s'", says, ssmc_error());
}

Test(kept, a_full_sequence_says_so_and_loses_nothing)
{
    Told mine[SEQUENCES] = {0};
    const int32_t more[LONGEST] = {1};
    Run r = run_open(&program, SEQUENCES, 100);
    told = mine;
    cr_expect_eq(ssmc_room(r.session), 128, "rounded up");
    feed(r.session, 0, 120);
    looks = 0;
    const ssmc_input two[] = {
        {.seq = 1, .ids = more, .count = 5},
        {.seq = 0, .ids = more, .count = 9}
    };
    cr_expect_eq(ssmc_feed(r.session, two, 2), SSMC_FULL);
    expect_says(
        "sequence 0 is full: it has 120 tokens, 9 more were given, and it has room for 128");
    cr_expect_eq(ssmc_prefill(r.session, 1, more, 129, NULL), SSMC_FULL);
    cr_expect_eq(ssmc_prefill(r.session, 1, more, LONGEST, NULL), SSMC_FULL);
    cr_expect(looks == 0 && ssmc_tokens(r.session, 0) == 120 && ssmc_tokens(r.session, 1) == 0);
    feed(r.session, 0, 8);
    cr_expect_eq(ssmc_step(r.session, &(int){0}, more, 1, NULL), SSMC_FULL);
    expect_says("it has 128 tokens, 1 more were given");
    feed(r.session, 1, 128);
    OK(ssmc_reset(r.session, 0));
    told[0].count = 0;
    feed(r.session, 0, 128);
    run_close(&r);
}

Test(kept, what_does_not_fit_is_refused)
{
    Told mine[SEQUENCES] = {0};
    char *dir = temp_dir(), *path = path_join(dir, "long.state");
    ssmc_checkpoint *c = NULL;
    ssmc_cache *cache = NULL;
    ssmc_session *small = NULL;
    int64_t taken = 0;
    Run r = run_open(&program, 1, LONGEST);
    told = mine;
    OK(ssmc_cache_open(dir, 1 << 30, &cache));
    feed(r.session, 0, 60);
    OK(ssmc_cache_put(cache, r.session, 0, told[0].id, 60));
    feed(r.session, 0, 240);
    OK(ssmc_cache_put(cache, r.session, 0, told[0].id, 300));
    OK(ssmc_checkpoint_take(r.session, 0, &c));
    OK(ssmc_state_save(r.session, 0, path, NULL, 0));
    OK(ssmc_session_open_for(r.model, 1, 1, 256, &small));
    mine[0].count = 0;
    feed(small, 0, 7);
    const Told seven = mine[0];
    cr_expect_eq(ssmc_rewind(small, 0, c), SSMC_FULL);
    expect_says("what the checkpoint was taken of has read 300 tokens, and the session has room "
                "for 256 of each sequence");
    cr_expect_eq(ssmc_state_load(small, 0, path, NULL, NULL), SSMC_FULL);
    expect_says("long.state has read 300 tokens, and the session has room for 256");
    cr_expect_eq(ssmc_tokens(small, 0), 7);
    feed(small, 0, 1);
    cr_expect_arr_eq(mine[0].id, seven.id, 7 * sizeof *seven.id);
    /* The cache's longer prefix does not fit and is no fault: the shorter one serves. */
    mine[0].count = 0;
    tell(0, 60);
    tell(0, 240);
    OK(ssmc_cache_take(cache, small, 0, mine[0].id, 300, &taken));
    cr_expect_eq(taken, 60);
    mine[0].count = 60;
    feed(small, 0, 190);
    ssmc_checkpoint_drop(c);
    ssmc_cache_close(cache);
    ssmc_session_close(small);
    run_close(&r);
    free(path);
    temp_dir_remove(dir);
}

Test(kept, rooms_that_cannot_be)
{
    ssmc_session *s = NULL;
    AbiProgram wide = program;
    AbiState huge[] = {states[0], states[1], states[2]};
    Run r = run_open(&program, 1, 1);
    cr_expect_eq(ssmc_room(r.session), 64);
    cr_expect_eq(ssmc_room(NULL), -1);
    const int64_t none[] = {0, -1, INT64_MIN, INT64_MAX, (int64_t)INT32_MAX};
    for (size_t i = 0; i < RT_COUNT(none); i++) {
        cr_expect_eq(ssmc_session_open_for(r.model, 1, 1, none[i], &s), SSMC_BAD_ARGUMENT);
        expect_says("1 to 2147483584 are possible");
    }
    /* 2^31 tokens of 4 KiB for many sequences: no such address space. */
    cr_expect_eq(ssmc_session_open_for(r.model, 1 << 20, 1, RT_MOST_ROOM, &s), SSMC_NO_MEMORY);
    expect_says("bytes for 1048576 sequences of 2147483584 tokens");
    cr_expect_null(s);
    run_close(&r);
    huge[0].dim[1] = huge[0].row_bytes = INT64_C(1) << 60;
    huge[0].dim[1] /= 4;
    wide.states = huge;
    r = (Run){0};
    OK(rt_weights_init(NULL, 0, 0, 1, NULL, NULL, &r.weights));
    OK(rt_program_wrap(&wide, &r.program));
    OK(ssmc_model_open(r.program, r.weights, 1, NULL, NULL, &r.model));
    cr_expect_eq(ssmc_session_open(r.model, 1, 1, &s), SSMC_NO_MEMORY);
    expect_says("1 sequences of 131072 tokens are more than memory can hold");
    cr_expect_eq(ssmc_program_memory(r.program, 1, 1).full, SIZE_MAX);
    run_close(&r);
}

/* ---- programs and figures ------------------------------------------------------------------ */

static void
state_refused(AbiState first, const char *says)
{
    AbiProgram p = program;
    const AbiState list[] = {first, states[1], states[2]};
    ssmc_program *out = NULL;
    p.states = list;
    AbiEntry idle = entry;
    p.nsteps = p.noperands = idle.layers.count = 0;
    p.entries = &idle;
    cr_expect_eq(rt_program_wrap(&p, &out), SSMC_BAD_FILE, "%s", says);
    expect_says(says);
}

Test(kept, broken_programs_are_refused)
{
    AbiState s = states[0];
    s.window = -1;
    state_refused(s, "a growing state has an impossible window (-1)");
    s.window = INT64_C(1) << 40;
    state_refused(s, "a growing state has an impossible window");
    s = states[0], s.row_bytes = -8;
    state_refused(s, "a growing state's rows are not those of its shape (0)");
    s = states[0], s.row_bytes = WIDE * 2;
    state_refused(s, "are not those of its shape");
    s = states[0], s.dim[0] = 64;
    state_refused(s, "are not those of its shape");
    s = states[0], s.rank = 0;
    state_refused(s, "are not those of its shape");
    s = states[0], s.rank = ABI_MAX_RANK + 1;
    state_refused(s, "are not those of its shape");
    s = states[1], s.window = 5;
    state_refused(s, "are not those of its shape");
    AbiProgram p = program;
    AbiOperand list[] = {
        operands[0], operands[1], {ABI_KEPT, 1, 0}
    };
    ssmc_program *out = NULL;
    p.operands = list;
    cr_expect_eq(rt_program_wrap(&p, &out), SSMC_BAD_FILE);
    expect_says("an operand lies outside its space (2)");
}

Test(kept, memory_is_known_before_it_is_taken)
{
    ssmc_program *p;
    OK(rt_program_wrap(&program, &p));
    const ssmc_memory m = ssmc_program_memory(p, 3, 1);
    const size_t row = WIDE * 4, ring = 128; /* 40 of the window and 64 of the block */
    cr_expect_eq(m.token, 2 * row);
    cr_expect_eq(m.full, row * SSMC_ROOM + row * ring);
    cr_expect_eq(m.state, 128);
    cr_expect_eq(m.total, m.kept + m.params + 3 * m.state + m.scratch);
    cr_expect_eq(rt_kept_full(p, 65), row * 128 + row * 128);
    cr_expect_eq(rt_kept_full(p, 1), row * 64 + row * 64);
    rt_program_free(p);
}

/* ---- files --------------------------------------------------------------------------------- */

static char *
sibling_of(const char *path)
{
    char *copy = malloc(strlen(path) + 8);
    sprintf(copy, "%s.forged", path);
    return copy;
}

/* One number changed, and a checksum that says it is right. */
static void
expect_forged(Run *r, const char *path, size_t at, uint64_t n, const char *says)
{
    size_t len = 0;
    char *bytes = read_whole(path, &len), *copy = sibling_of(path);
    memcpy(bytes + at, &n, sizeof n);
    const uint64_t sum = rt_hash(bytes, len - 8);
    memcpy(bytes + len - 8, &sum, sizeof sum);
    cr_assert(write_whole(copy, bytes, len));
    const ssmc_status status = ssmc_state_load(r->session, 1, copy, NULL, NULL);
    cr_expect(status == SSMC_BAD_FILE || status == SSMC_FULL, "%d", status);
    expect_says(says);
    cr_expect_eq(ssmc_tokens(r->session, 1), 3);
    free(bytes);
    free(copy);
}

Test(kept, forged_files_are_refused)
{
    enum { TOKENS = 80, RANK = 112, DIM0 = 120 };
    Told mine[SEQUENCES] = {0};
    char *dir = temp_dir(), *path = path_join(dir, "a.state");
    Run r = run_open(&program, 2, 512);
    told = mine;
    feed(r.session, 0, 100);
    feed(r.session, 1, 3);
    OK(ssmc_state_save(r.session, 0, path, NULL, 0));
    const uint64_t huge[] = {UINT64_MAX, INT64_MAX, UINT64_C(1) << 62, 192, 64, 100, 0};
    for (size_t i = 0; i < RT_COUNT(huge); i++) {
        expect_forged(&r, path, DIM0, huge[i], "is broken: it has no state 'all' of [128,512]");
        expect_forged(&r, path, DIM0 + 8, huge[i], "is broken: it has no state 'all' of [128,512]");
    }
    expect_forged(&r, path, RANK, 1, "is broken: it has no state 'all'");
    expect_forged(&r, path, TOKENS, 513, "has read 513 tokens, and the session has room for 512");
    expect_forged(&r, path, TOKENS, INT64_MAX, "has read 9223372036854775807 tokens, and");
    expect_forged(&r, path, TOKENS, UINT64_MAX, "is broken: it has read");
    expect_forged(&r, path, TOKENS, 129, "is broken: it has no state 'all' of [192,512]");
    expect_forged(&r, path, TOKENS, 10, "is broken: it has no state 'all' of [64,512]");
    feed(r.session, 1, 100);
    OK(ssmc_state_load(r.session, 1, path, NULL, NULL));
    mine[1] = mine[0];
    feed(r.session, 1, 30);
    run_close(&r);
    free(path);
    temp_dir_remove(dir);
}

/* A sequence that has read nothing has no rows to save. */
Test(kept, an_empty_sequence_is_saved_and_loaded)
{
    Told mine[SEQUENCES] = {0};
    char *dir = temp_dir(), *path = path_join(dir, "empty.state");
    size_t len = 0;
    Run r = run_open(&program, 1, 512);
    told = mine;
    OK(ssmc_state_save(r.session, 0, path, NULL, 0));
    char *bytes = read_whole(path, &len);
    cr_expect_lt(len, 1024);
    feed(r.session, 0, 300);
    OK(ssmc_state_load(r.session, 0, path, NULL, NULL));
    mine[0].count = 0;
    feed(r.session, 0, 30);
    run_close(&r);
    free(bytes);
    free(path);
    temp_dir_remove(dir);
}
