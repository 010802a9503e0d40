/* tests/unit/test_cuda.c -- programs on a GPU: one made by hand, whose kernels are C, on a model of
 * CUDA's driver (tests/cuda/cuda_model.h), beside the same program on the CPU: equal to the bit
 * through all that can happen to a session; graphs; memory; and every way in which a GPU fails. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/session.h"
#include "tests/allocations.h"
#include "tests/cuda/cuda_model.h"
#include "tests/engine_run.h"
#include "tests/harness.h"

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())

static void
expect_says(const char *says)
{
    cr_expect(strstr(ssmc_error(), says), "expected '%s' in '%s'", says, ssmc_error());
}

/* ---- a model ------------------------------------------------------------------------------- */

/* x_t = table[id_t]; s = s / 2 + x_t for each of H numbers; kept rows are (id + position) in each
 * of WIDE columns, of all tokens and of those of a window; logits_t[v] = (sum s) param[v] + tokens
 * read + the sums of the kept rows. In sums of few bits: exact. */
enum {
    H = 8,
    V = 11,
    WIDE = 256,
    NEAR = 40,
    BLOCK = 100,
    STEP_BLOCK = 5,
    HEAD_ROWS = 3,
    SEQUENCES = 4,
    FEW = 5
};

static void
init_param(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    const float *scale = operand[0];
    float *param = operand[1];
    (void)call;
    for (int64_t v = V * share->part / share->parts; v < V * (share->part + 1) / share->parts; v++)
        param[v] = 2 * scale[v];
}

static void
embed(void *const *operand, const AbiCall *call, int64_t row, int64_t end)
{
    const int32_t *ids = operand[0];
    const float *table = operand[1]; /* [V,H] */
    float *x = operand[2];           /* [T,H] */
    for (end = end < call->rows ? end : call->rows; row < end; row++)
        memcpy(x + row * H, table + ids[row] * H, H * sizeof *x);
}

static void
scan(void *const *operand, const AbiCall *call, int64_t s, int64_t h, int64_t end)
{
    float *x = operand[0];
    const AbiSeg *seg = &call->seg[s];
    float *state = (float *)((char *)operand[1] + seg->slot * call->state_stride);
    for (; h < end; h++)
        for (int64_t t = seg->row; t < seg->row + seg->len; t++)
            state[h] = x[t * H + h] = state[h] / 2 + x[t * H + h];
}

/* Keeps a segment's rows, and counts: at [T]. */
static void
keep(void *const *operand, const AbiCall *call, int64_t s)
{
    const int32_t *ids = operand[0], *positions = operand[1];
    const AbiSeg *seg = &call->seg[s];
    const int64_t ring = abi_state_rows(NEAR, call->room, call->block);
    float *all = (float *)((char *)operand[2] + seg->slot * call->kept_stride);
    float *near = (float *)((char *)operand[3] + seg->slot * call->kept_stride);
    float *count = (float *)((char *)operand[4] + seg->slot * call->state_stride);
    float *at = operand[5];
    for (int64_t t = seg->row; t < seg->row + seg->len; t++) {
        const int64_t p = positions[t];
        for (int64_t i = 0; i < WIDE; i++)
            all[p * WIDE + i] = near[p % ring * WIDE + i] = (float)(ids[t] + p);
        at[t] = ++*count;
        for (int64_t q = 0; q <= p; q++)
            at[t] += all[q * WIDE + q % WIDE];
        for (int64_t q = p < NEAR ? 0 : p - NEAR + 1; q <= p; q++)
            at[t] += near[q % ring * WIDE];
    }
}

static void
head(void *const *operand, int64_t r, int64_t v, int64_t end)
{
    const float *x = operand[0], *at = operand[1], *param = operand[2];
    const int32_t *pick = operand[3];
    float *logits = operand[4]; /* [R,V] */
    float sum = 0;
    for (int64_t h = 0; h < H; h++)
        sum += x[pick[r] * H + h];
    for (end = end < V ? end : V; v < end; v++)
        logits[r * V + v] = sum * param[v] + at[pick[r]];
}

/* Columns by the number, from the greatest on. */
static void
choose(void *const *operand, int64_t r, int64_t k)
{
    const float *logits = (const float *)operand[0] + r * V; /* [R,V] */
    float *list = (float *)operand[1] + r * 2 * k;           /* [R,2*k] */
    for (int64_t v = 0; v < V; v++) {
        int64_t before = 0;
        for (int64_t o = 0; o < V; o++)
            before += logits[o] > logits[v] || (logits[o] == logits[v] && o < v);
        if (before < k) {
            list[before] = logits[v];
            list[k + before] = (float)v;
        }
        if (before == 0 && k == 1)
            ((int32_t *)operand[2])[r] = (int32_t)v;
    }
}

/* On the CPU: by one thread. */
static void
cpu_embed(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)share;
    embed(operand, call, 0, call->rows);
}

static void
cpu_scan(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)share;
    for (int64_t s = 0; s < call->nseg; s++)
        scan(operand, call, s, 0, H);
}

static void
cpu_keep(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)share;
    for (int64_t s = 0; s < call->nseg; s++)
        keep(operand, call, s);
}

static void
cpu_head(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)share;
    for (int64_t r = 0; r < call->picked; r++)
        head(operand, r, 0, V);
}

static void
cpu_choose_1(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)share;
    for (int64_t r = 0; r < call->picked; r++)
        choose(operand, r, 1);
}

static void
cpu_choose_few(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)share;
    for (int64_t r = 0; r < call->picked; r++)
        choose(operand, r, FEW);
}

/* On the GPU: by blocks. */
enum { ROWS_EACH = 3, NUMBERS_EACH = 4, LOGITS_EACH = 2 };

static void
gpu_embed(void *const *operand, const AbiCall *call, const CudaModelBlock *b)
{
    embed(operand, call, b->at[0] * ROWS_EACH, (b->at[0] + 1) * ROWS_EACH);
}

static void
gpu_scan(void *const *operand, const AbiCall *call, const CudaModelBlock *b)
{
    cr_assert_eq(b->grid[0], H / NUMBERS_EACH);
    cr_assert_eq(b->grid[1], call->nseg);
    cr_assert_eq(b->threads, 64);
    cr_assert_eq(b->shared_bytes, b->grid[1] == 1 ? 97000 : 100000);
    scan(operand, call, b->at[1], b->at[0] * NUMBERS_EACH, (b->at[0] + 1) * NUMBERS_EACH);
}

static void
gpu_keep(void *const *operand, const AbiCall *call, const CudaModelBlock *b)
{
    keep(operand, call, b->at[0]);
}

static void
gpu_head(void *const *operand, const AbiCall *call, const CudaModelBlock *b)
{
    cr_assert_eq(b->grid[0], (V + LOGITS_EACH - 1) / LOGITS_EACH);
    cr_assert_eq(b->grid[1], call->picked);
    head(operand, b->at[1], b->at[0] * LOGITS_EACH, (b->at[0] + 1) * LOGITS_EACH);
}

static void
gpu_choose_1(void *const *operand, const AbiCall *call, const CudaModelBlock *b)
{
    (void)call;
    choose(operand, b->at[0], 1);
}

static void
gpu_choose_few(void *const *operand, const AbiCall *call, const CudaModelBlock *b)
{
    (void)call;
    choose(operand, b->at[0], FEW);
}

#define ONE {ABI_ONE, 1, 1, 1, 0}

#define PLAIN(name, grid_x, waits_for)                                                             \
    {                                                                                              \
        .symbol = name, .grid = {grid_x, ONE, ONE}, \
             .threads = 32, .waits = waits_for \
}

static const AbiLaunch launches[] = {
    PLAIN("embed_rows", ((AbiExtent){ABI_TOKENS, 1, 1, ROWS_EACH, 0}
     ), 1),
    {.symbol = "scan_h",
                                     .grid = {{ABI_ONE, 1, H, NUMBERS_EACH, 0}, {ABI_SEGMENTS, 1, 1, 1, 0}, ONE},
                                     .threads = 64,
                                     .shared_bytes = 100000,
                                     .waits = 1,
                                     .shared_spare = 3000},
    PLAIN("keep_rows", ((AbiExtent){ABI_SEGMENTS, 1, 1, 1, 0}
     ), 0),
    {.symbol = "head_rows",
                                     .grid = {{ABI_ONE, 1, V, LOGITS_EACH, 0}, {ABI_PICKED, 1, 1, 1, 0}, ONE},
                                     .threads = 32,
                                     .waits = 1},
    PLAIN("choose_1", ((AbiExtent){ABI_PICKED, 1, 1, 1, 0}
     ), 1),
    PLAIN("choose_few", ((AbiExtent){ABI_PICKED, 1, 1, 1, 0}
     ), 1),
};
static const char image[] =
    ".version 8.3\n.target sm_80\n.entry embed_rows\n.entry scan_h\n"
    ".entry keep_rows\n.entry head_rows\n.entry choose_1\n.entry choose_few\n";

enum { AT = BLOCK * H * 4, SLAB = AT + BLOCK * 4 }; /* x [T,H], then at [T] */
enum { STATE_COUNT = 64, STATE = STATE_COUNT + 4 };

/* Logits, then the lists of candidates. */
enum {
    LIST_1 = HEAD_ROWS * V * 4,
    LIST_FEW = LIST_1 + HEAD_ROWS * 2 * 4,
    IDS = LIST_FEW + HEAD_ROWS * 2 * FEW * 4,
    OUTPUT = IDS + HEAD_ROWS * 4
};

static const AbiOperand operands[] = {
    {ABI_WEIGHT, 1, 0          }, /* init_param */
    {ABI_PARAM,  0, 64         },
    {ABI_INPUT,  0, 0          }, /* embed */
    {ABI_WEIGHT, 0, 0          },
    {ABI_SLAB,   0, 0          },
    {ABI_SLAB,   0, 0          }, /* scan */
    {ABI_STATE,  0, 0          },
    {ABI_INPUT,  0, 0          }, /* keep */
    {ABI_INPUT,  1, 0          },
    {ABI_KEPT,   2, 0          },
    {ABI_KEPT,   3, 0          },
    {ABI_STATE,  0, STATE_COUNT},
    {ABI_SLAB,   0, AT         },
    {ABI_SLAB,   0, 0          }, /* head */
    {ABI_SLAB,   0, AT         },
    {ABI_PARAM,  0, 64         },
    {ABI_INPUT,  2, 0          },
    {ABI_OUTPUT, 0, 0          },
    {ABI_OUTPUT, 0, 0          }, /* choose_1 */
    {ABI_OUTPUT, 0, LIST_1     },
    {ABI_OUTPUT, 0, IDS        },
    {ABI_OUTPUT, 0, 0          }, /* choose_few */
    {ABI_OUTPUT, 0, LIST_FEW   },
};
static const AbiStep cpu_steps[] = {
    {init_param,     "init",   0,  2, .pieces = 1},
    {cpu_embed,      "embed",  2,  3, .pieces = 0},
    {cpu_scan,       "scan",   5,  2, .pieces = 0},
    {cpu_keep,       "keep",   7,  6, .pieces = 0},
    {cpu_head,       "head",   13, 5, .pieces = 0},
    {cpu_choose_1,   "choose", 18, 3, .pieces = 0},
    {cpu_choose_few, "choose", 21, 2, .pieces = 0},
};
static const AbiStep gpu_steps[] = {
    {init_param, "init", 0, 2, .pieces = 1, .launch = -1},
    {NULL, "embed", 2, 3, .pieces = 0},
    {NULL, "scan", 5, 2, .launch = 1},
    {NULL, "keep", 7, 6, .launch = 2},
    {NULL, "head", 13, 5, .launch = 3},
    {NULL, "choose", 18, 3, .launch = 4},
    {NULL, "choose", 21, 2, .launch = 5},
};
static const AbiWeight weights[] = {
    {"table", "uniform_fan_in", ABI_F32, 2, {V, H}},
    {"scale", "ones",           ABI_F32, 1, {V}   },
};
static const AbiState states[] = {
    {.name = "s", .bytes = H * 4, .rank = 1, .dim = {H}},
    {.name = "count", .bytes = 4, .rank = 1, .dim = {1}, .offset = STATE_COUNT},
    {.name = "all", .row_bytes = WIDE * 4, .rank = 2, .dim = {0, WIDE}},
    {.name = "near", .row_bytes = WIDE * 4, .window = NEAR, .rank = 2, .dim = {0, WIDE}},
};

static const AbiEntry entries[] = {
    {"prefill", 0, BLOCK,      HEAD_ROWS, SLAB, 0, 1, {1, 3}, {4, 1}, {5, 2}},
    {"decode",  1, STEP_BLOCK, HEAD_ROWS, SLAB, 0, 1, {1, 3}, {4, 1}, {5, 2}},
};
static const AbiInput inputs[] = {
    {"ids",       ABI_TOKENS},
    {"positions", ABI_TOKENS},
    {"pick",      ABI_PICKED},
};
static const AbiOutput outputs[] = {
    {"logits", ABI_F32, ABI_PICKED, V,       V,       0,        0  },
    {"one",    ABI_F32, ABI_PICKED, 2,       2,       LIST_1,   1  },
    {"few",    ABI_F32, ABI_PICKED, 2 * FEW, 2 * FEW, LIST_FEW, FEW},
    {"ids",    ABI_I32, ABI_PICKED, 1,       1,       IDS,      1  },
};

static AbiProgram
program_of(AbiDevice device)
{
    const bool gpu = device == ABI_CUDA;
    return (AbiProgram){
        .name = "small",
        .numerics = "f32",
        .param_bytes = 64 + V * 4,
        .state_bytes = STATE,
        .output_bytes = OUTPUT,
        .pack_hash = 7,
        .device = device,
        .target = gpu ? "sm_80" : "",
        .image = gpu ? image : NULL,
        .image_bytes = gpu ? (int64_t)sizeof image - 1 : 0,
        .init = {0, 1},
        .entries = entries,
        .inputs = inputs,
        .outputs = outputs,
        .nentries = RT_COUNT(entries),
        .ninputs = RT_COUNT(inputs),
        .noutputs = RT_COUNT(outputs),
        .steps = gpu ? gpu_steps : cpu_steps,
        .operands = operands,
        .weights = weights,
        .states = states,
        .launches = launches,
        .nsteps = RT_COUNT(gpu_steps),
        .noperands = RT_COUNT(operands),
        .nweights = RT_COUNT(weights),
        .nstates = RT_COUNT(states),
        .nlaunches = gpu ? RT_COUNT(launches) : 0,
    };
}

/* ---- running it ---------------------------------------------------------------------------- */

/* The driver of this process is a model from now on. */
static CudaModel *
driver(void)
{
    static CudaModel *model;
    if (model)
        return model;
    setenv("SSMC_CUDA_LIBRARY", SSMC_CUDA_MODEL, 1);
    void *handle = dlopen(SSMC_CUDA_MODEL, RTLD_NOW | RTLD_LOCAL);
    cr_assert_not_null(handle, "%s", dlerror());
    union {
        void *address;
        CudaModelGet *get;
        CudaModelAdd *add;
    } get = {dlsym(handle, "cuda_model")}, add = {dlsym(handle, "cuda_model_add")};
    add.add("embed_rows", 3, gpu_embed);
    add.add("scan_h", 2, gpu_scan);
    add.add("keep_rows", 6, gpu_keep);
    add.add("head_rows", 5, gpu_head);
    add.add("choose_1", 3, gpu_choose_1);
    add.add("choose_few", 2, gpu_choose_few);
    model = get.get();
    return model;
}

typedef struct {
    AbiProgram abi;
    ssmc_program *program;
    ssmc_weights *weights;
    ssmc_model *model;
    ssmc_session *session;
} Run;

static ssmc_weights *
small_weights(void)
{
    static float table[V][H], scale[V];
    for (int v = 0; v < V; v++) {
        scale[v] = (float)(v + 1);
        for (int h = 0; h < H; h++)
            table[v][h] = (float)((v * 5 + h * 3) % 16);
    }
    const RtTensor out[] = {
        {.name = "table",
         .dtype = "F32",
         .rank = 2,
         .dim = {V, H},
         .data = table,
         .bytes = sizeof table},
        {.name = "scale",
         .dtype = "F32",
         .rank = 1,
         .dim = {V},
         .data = scale,
         .bytes = sizeof scale}
    };
    char *dir = temp_dir(), *path = path_join(dir, "model.safetensors");
    ssmc_weights *w = NULL;
    OK(rt_tensors_write(path, out, 2));
    OK(rt_weights_open(dir, &w));
    free(path);
    temp_dir_remove(dir);
    return w;
}

static void
run_close(Run *r)
{
    ssmc_session_close(r->session);
    ssmc_model_close(r->model);
    rt_program_free(r->program);
    rt_weights_close(r->weights);
    *r = (Run){0};
}

/* As far as it gets; run_close frees it. */
static ssmc_status
run_try(Run *r, const AbiProgram *abi, int64_t room)
{
    *r = (Run){.abi = *abi, .weights = small_weights()};
    OK(rt_program_wrap(&r->abi, &r->program));
    const ssmc_status status = ssmc_model_open(r->program, r->weights, 1, NULL, NULL, &r->model);
    return status == SSMC_OK ? ssmc_session_open_for(r->model, SEQUENCES, 1, room, &r->session)
                             : status;
}

static void
run_open(Run *r, AbiDevice device, int64_t room)
{
    const AbiProgram abi = program_of(device);
    driver();
    OK(run_try(r, &abi, room));
}

static int32_t
id_of(int64_t i)
{
    return (int32_t)((i * i + 3 * i) % V);
}

/* Feeds both; what they say is the same. */
enum { LONGEST = 700 };

static void
feed_both(Run run[2], const int64_t count[SEQUENCES], int64_t wanted, int64_t salt)
{
    static int32_t ids[SEQUENCES][LONGEST];
    static float logits[2][SEQUENCES][LONGEST * V];
    for (int which = 0; which < 2; which++) {
        ssmc_input in[SEQUENCES];
        int n = 0;
        for (int seq = 0; seq < SEQUENCES; seq++) {
            if (count[seq] == 0)
                continue;
            for (int64_t i = 0; i < count[seq]; i++)
                ids[seq][i] = id_of(salt + i + seq);
            in[n++] = (ssmc_input){seq, ids[seq], count[seq],
                                   wanted < count[seq] ? wanted : count[seq], logits[which][seq]};
        }
        if (n)
            OK(ssmc_feed(run[which].session, in, n));
    }
    for (int seq = 0; seq < SEQUENCES; seq++) {
        const int64_t rows = wanted < count[seq] ? wanted : count[seq];
        cr_assert_arr_eq(logits[0][seq], logits[1][seq], (size_t)(rows * V) * sizeof(float));
        cr_assert_eq(ssmc_tokens(run[0].session, seq), ssmc_tokens(run[1].session, seq));
    }
}

static void
step_both(Run run[2], int64_t salt)
{
    const int64_t each[SEQUENCES] = {1, 1, 1, 1};
    feed_both(run, each, 1, salt);
}

/* ---- everything that a session does -------------------------------------------------------- */

typedef struct {
    uint64_t x;
} Random;

static int64_t
below(Random *r, int64_t n)
{
    r->x = r->x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((r->x >> 33) % (uint64_t)n);
}

typedef struct {
    Run run[2];
    ssmc_checkpoint *checkpoint[2];
    char *path[2]; /* of a state that each device saved */
    bool saved;
    Random random;
} World;

static void
random_feed(World *w)
{
    int64_t count[SEQUENCES] = {0};
    for (int seq = 0; seq < SEQUENCES; seq++) {
        const int64_t left = ssmc_room(w->run[0].session) - ssmc_tokens(w->run[0].session, seq);
        const int64_t most = below(&w->random, 3) ? 3 : 2 * BLOCK;
        if (left > 0 && below(&w->random, 2))
            count[seq] = 1 + below(&w->random, left < most ? left : most);
    }
    feed_both(w->run, count, below(&w->random, 7), below(&w->random, 100));
}

static void
random_turn(World *w)
{
    const int seq = (int)below(&w->random, SEQUENCES), other = (int)below(&w->random, SEQUENCES);
    const int64_t what = below(&w->random, 10);
    const bool crossed = below(&w->random, 2) == 0;
    for (int i = 0; i < 2; i++) {
        ssmc_session *s = w->run[i].session;
        if (what == 0)
            OK(ssmc_reset(s, seq));
        else if (what == 1)
            OK(ssmc_fork(s, seq, other));
        else if (what == 2) {
            ssmc_checkpoint_drop(w->checkpoint[i]);
            OK(ssmc_checkpoint_take(s, seq, &w->checkpoint[i]));
        } else if (what == 3 && w->checkpoint[i])
            OK(ssmc_rewind(s, seq, w->checkpoint[i]));
        else if (what == 4)
            OK(ssmc_state_save(s, seq, w->path[i], NULL, 0));
        else if (what == 5 && w->saved)
            OK(ssmc_state_load(s, seq, w->path[crossed ? 1 - i : i], NULL, NULL));
    }
    w->saved = w->saved || what == 4;
    if (what > 5)
        random_feed(w);
}

static void
live_through_all(bool maps)
{
    char *dir = temp_dir();
    World w = {
        .random = {1},
          .path = {path_join(dir, "cpu.state"), path_join(dir, "gpu.state")}
    };
    CudaModel *gpu = driver();
    gpu->maps_no_memory = !maps;
    run_open(&w.run[0], ABI_CPU, LONGEST);
    run_open(&w.run[1], ABI_CUDA, LONGEST);
    for (int turn = 0; turn < 300; turn++)
        random_turn(&w);
    cr_expect_gt(gpu->replays, 10);
    cr_expect_eq(gpu->maps > 0, maps);
    for (int i = 0; i < 2; i++) {
        size_t a = 0, b = 0;
        OK(ssmc_state_save(w.run[0].session, i, w.path[0], "note", 4));
        OK(ssmc_state_save(w.run[1].session, i, w.path[1], "note", 4));
        char *cpu = read_whole(w.path[0], &a), *other = read_whole(w.path[1], &b);
        cr_expect(a == b && memcmp(cpu, other, a) == 0);
        free(cpu);
        free(other);
    }
    for (int i = 0; i < 2; i++) {
        ssmc_checkpoint_drop(w.checkpoint[i]);
        run_close(&w.run[i]);
        free(w.path[i]);
    }
    cr_expect(gpu->contexts == 0 && gpu->dropped == 0 && gpu->used == 0, "%d left",
              (int)gpu->dropped);
    temp_dir_remove(dir);
}

Test(cuda, is_the_cpu_to_the_bit_whatever_happens)
{
    live_through_all(true);
}

Test(cuda, a_gpu_that_maps_no_memory_takes_it_at_once)
{
    live_through_all(false);
}

Test(cuda, states_can_be_looked_at)
{
    Run run[2];
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    step_both(run, 3);
    int64_t n = 0, m = 0;
    const float *a = rt_session_state(run[0].session, 2, "s", &n);
    const float *b = rt_session_state(run[1].session, 2, "s", &m);
    cr_assert(n == H && m == H && memcmp(a, b, sizeof *a * H) == 0);
    cr_expect_null(rt_session_state(run[1].session, 2, "t", &n));
    cr_expect_str_eq(ssmc_model_device(run[0].model), "CPU");
    cr_expect_str_eq(ssmc_model_device(run[1].model), "Model GPU");
    cr_expect_null(ssmc_model_device(NULL));
    run_close(&run[0]);
    run_close(&run[1]);
}

/* ---- graphs -------------------------------------------------------------------------------- */

Test(cuda, a_steady_step_is_one_call_and_allocates_nothing)
{
    const CudaModel *gpu = driver();
    const int seqs[] = {0, 1, 2};
    const int32_t ids[] = {1, 2, 3};
    float logits[3 * V];
    Run r;
    run_open(&r, ABI_CUDA, 1000);
    for (int i = 0; i < 3; i++)
        OK(ssmc_step(r.session, seqs, ids, 3, logits));
    const CudaModel before = *gpu;
    const uint64_t all = allocations();
    for (int i = 0; i < 50; i++)
        OK(ssmc_step(r.session, seqs, ids, 3, logits));
    cr_expect_eq(allocations(), all);
    cr_expect_eq(gpu->replays - before.replays, 50);
    cr_expect_eq(gpu->launches - before.launches, 50 * 4);
    cr_expect_eq(gpu->waits - before.waits, 50);
    cr_expect_eq(gpu->graphs, 1);
    cr_expect_eq(gpu->puts, before.puts); /* they are in the graph */
    /* Ids, positions and picked rows on a line each, then segments. */
    cr_expect_eq(gpu->gave - before.gave, 50 * (3 * RT_LINE + 3 * sizeof(AbiSeg)));
    cr_expect_eq(gpu->gets, before.gets);
    run_close(&r);
}

static void
step_three(Run run[2])
{
    const int seqs[] = {0, 1, 2};
    const int32_t ids[] = {1, 2, 3};
    float logits[2][3 * V];
    for (int i = 0; i < 2; i++)
        OK(ssmc_step(run[i].session, seqs, ids, 3, logits[i]));
    cr_expect_arr_eq(logits[0], logits[1], sizeof logits[0]);
}

/* Kernels whose code waits, but for the first, which follows a copy: two of the four. */
static void
expect_early(int capability, int version, int refuses, uint64_t each)
{
    CudaModel *gpu = driver();
    Run run[2];
    gpu->capability = capability;
    gpu->driver = version;
    gpu->refuses_early = refuses;
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    step_three(run);
    const CudaModel once = *gpu;
    for (int i = 0; i < 4; i++)
        step_three(run);
    /* A driver may take such a launch by itself, and not in a graph. */
    cr_expect_eq(once.early, refuses == 2 ? 2 : each);
    cr_expect_eq(gpu->early - once.early, 4 * each, "%d", (int)(gpu->early - once.early));
    cr_expect_eq(gpu->launches - once.launches, 4 * 4);
    cr_expect_eq(gpu->graphs, 1);
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect_eq(gpu->dropped, 0);
}

Test(cuda, kernels_that_wait_begin_while_others_end)
{
    expect_early(0, 0, 0, 2);
}

Test(cuda, an_old_driver_gets_ordinary_launches)
{
    expect_early(0, 12020, 0, 0);
}

Test(cuda, a_gpu_that_begins_nothing_early_gets_ordinary_launches)
{
    expect_early(80, 0, 0, 0);
}

Test(cuda, a_driver_that_refuses_gets_ordinary_launches)
{
    expect_early(0, 0, 1, 0);
}

Test(cuda, a_driver_that_records_no_early_launch_gets_ordinary_graphs)
{
    expect_early(0, 0, 2, 0);
}

/* Steps of three rows, then of one: the head's blocks, 6 for each row, in clusters of 3 where there
 * are several rows. Launched once, recorded once. */
static void
expect_clusters(int refuses, uint64_t early)
{
    CudaModel *gpu = driver();
    AbiProgram abi = program_of(ABI_CUDA);
    AbiLaunch list[RT_COUNT(launches)];
    Run run[2];
    const int first = 0;
    const int32_t id = 1;
    float logits[2][V];
    memcpy(list, launches, sizeof launches);
    list[3].cluster = 3;
    abi.launches = list;
    gpu->refuses_early = refuses;
    run_open(&run[0], ABI_CPU, LONGEST);
    OK(run_try(&run[1], &abi, LONGEST));
    for (int i = 0; i < 4; i++)
        step_three(run);
    cr_expect_eq(gpu->clusters, 2);
    for (int i = 0; i < 2; i++)
        OK(ssmc_step(run[i].session, &first, &id, 1, logits[i]));
    cr_expect_arr_eq(logits[0], logits[1], sizeof logits[0]);
    cr_expect_eq(gpu->clusters, 2);
    cr_expect_eq(gpu->early > 0, early > 0);
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect_eq(gpu->dropped, 0);
}

Test(cuda, blocks_of_several_rows_are_launched_in_clusters)
{
    expect_clusters(0, 1);
}

Test(cuda, clusters_need_no_early_begin)
{
    expect_clusters(1, 0);
}

/* ---- halves -------------------------------------------------------------------------------- */

/* The model of this file with room for passes of many sequences. */
enum {
    MANY = 150,
    MANY_ROWS = 128,
    MANY_AT = MANY_ROWS * H * 4,
    MANY_LIST_1 = MANY_ROWS * V * 4,
    MANY_LIST_FEW = MANY_LIST_1 + MANY_ROWS * 2 * 4,
    MANY_IDS = MANY_LIST_FEW + MANY_ROWS * 2 * FEW * 4,
    MANY_STEPS = 7
};

static void
move(int64_t *offset)
{
    static const int64_t to[][2] = {
        {AT,       MANY_AT      },
        {LIST_1,   MANY_LIST_1  },
        {LIST_FEW, MANY_LIST_FEW},
        {IDS,      MANY_IDS     }
    };
    for (size_t i = 0; i < RT_COUNT(to); i++)
        if (*offset == to[i][0]) {
            *offset = to[i][1];
            return;
        }
}

static void
many_open(Run *r, AbiDevice device)
{
    static AbiOperand moved[RT_COUNT(operands)];
    static AbiOutput given[RT_COUNT(outputs)];
    static AbiEntry wide[RT_COUNT(entries)];
    AbiProgram abi = program_of(device);
    memcpy(moved, operands, sizeof operands);
    memcpy(given, outputs, sizeof outputs);
    memcpy(wide, entries, sizeof entries);
    for (size_t i = 0; i < RT_COUNT(moved); i++)
        if (moved[i].space == ABI_SLAB || moved[i].space == ABI_OUTPUT)
            move(&moved[i].offset);
    for (size_t i = 0; i < RT_COUNT(given); i++)
        move(&given[i].offset);
    for (size_t i = 0; i < RT_COUNT(wide); i++) {
        wide[i].block = wide[i].rows = MANY_ROWS;
        wide[i].slab_bytes = MANY_AT + MANY_ROWS * 4;
    }
    abi.operands = moved, abi.outputs = given, abi.entries = wide;
    abi.output_bytes = MANY_IDS + MANY_ROWS * 4;
    driver();
    OK(run_try(r, &abi, LONGEST));
    ssmc_session_close(r->session);
    OK(ssmc_session_open_for(r->model, MANY, 1, LONGEST, &r->session));
}

/* Ids that n sequences make, from the last on, and the logits of a step after them. */
static void
many_ids(const Run *r, int n, int32_t out[MANY * MANY_STEPS], float logits[MANY * V])
{
    static int seqs[MANY];
    static int32_t ids[MANY];
    for (int k = 0; k < n; k++) {
        seqs[k] = MANY - 1 - k;
        ids[k] = id_of(k);
        OK(ssmc_reset(r->session, seqs[k]));
    }
    for (int round = 0; round < 4; round++) {
        OK(ssmc_greedy(r->session, seqs, ids, n, MANY_STEPS, out));
        OK(ssmc_step(r->session, seqs, ids, n, logits));
    }
}

static void
expect_halves(int n, uint64_t forks)
{
    static int32_t ids[2][MANY * MANY_STEPS];
    static float logits[2][MANY * V];
    const CudaModel *gpu = driver();
    Run run[2];
    many_open(&run[0], ABI_CPU);
    many_open(&run[1], ABI_CUDA);
    for (int i = 0; i < 2; i++)
        many_ids(&run[i], n, ids[i], logits[i]);
    cr_expect_arr_eq(ids[0], ids[1], (size_t)n * MANY_STEPS * sizeof **ids, "%d", n);
    cr_expect_arr_eq(logits[0], logits[1], (size_t)n * V * sizeof **logits, "%d", n);
    cr_expect_eq(gpu->forks, forks, "%d: %d", n, (int)gpu->forks);
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect(gpu->contexts == 0 && gpu->dropped == 0 && gpu->used == 0);
}

/* Recorded: the first greedy step, the others of each slot, and the step with logits. */
Test(cuda, steps_of_many_sequences_run_as_two_halves)
{
    expect_halves(MANY_ROWS, 4);
}

Test(cuda, halves_need_not_be_equal)
{
    expect_halves(rt_device(ABI_CUDA)->halves + 5, 4);
}

Test(cuda, steps_of_fewer_sequences_are_whole)
{
    expect_halves(rt_device(ABI_CUDA)->halves - 1, 0);
}

/* More than are picked together: the last come alone. */
Test(cuda, more_sequences_than_a_pass_has_rows)
{
    expect_halves(MANY, 2);
}

/* A shape's operands are its own: of 128 sequences, of 100, and of 128 again. */
Test(cuda, halves_of_other_sizes_come_between)
{
    static int32_t ids[2][MANY * MANY_STEPS];
    static float logits[2][MANY * V];
    static const int sizes[] = {128, 100, 128, 97, 100};
    Run run[2];
    many_open(&run[0], ABI_CPU);
    many_open(&run[1], ABI_CUDA);
    for (size_t k = 0; k < RT_COUNT(sizes); k++) {
        for (int i = 0; i < 2; i++)
            many_ids(&run[i], sizes[k], ids[i], logits[i]);
        cr_expect_arr_eq(ids[0], ids[1], (size_t)sizes[k] * MANY_STEPS * sizeof **ids);
        cr_expect_arr_eq(logits[0], logits[1], (size_t)sizes[k] * V * sizeof **logits);
    }
    run_close(&run[0]);
    run_close(&run[1]);
}

Test(cuda, a_profile_runs_the_whole)
{
    int seqs[MANY_ROWS];
    int32_t ids[MANY_ROWS] = {0};
    const CudaModel *gpu = driver();
    Run r;
    many_open(&r, ABI_CUDA);
    for (int k = 0; k < MANY_ROWS; k++)
        seqs[k] = k;
    rt_session_profile(r.session, true);
    for (int i = 0; i < 3; i++)
        OK(ssmc_step(r.session, seqs, ids, MANY_ROWS, NULL));
    cr_expect_eq(gpu->forks, 0);
    run_close(&r);
}

Test(cuda, memory_of_halves_is_what_is_said)
{
    const CudaModel *gpu = driver();
    Run r;
    many_open(&r, ABI_CUDA);
    const int least = rt_device(ABI_CUDA)->halves;
    const ssmc_memory m = ssmc_program_memory(r.program, MANY, 1);
    const ssmc_memory few = ssmc_program_memory(r.program, least - 1, 1);
    const ssmc_memory enough = ssmc_program_memory(r.program, least, 1);
    cr_expect_geq(gpu->used, m.device);
    cr_expect_leq(gpu->used, m.device + 2 * RT_LINE);
    cr_expect_geq(enough.scratch - few.scratch, (size_t)MANY_AT);
    run_close(&r);
}

/* Every launch of a pass, of either half, is refused in turn: as the first pass is launched, as the
 * second is recorded. */
Test(cuda, a_half_that_fails_ends_its_session)
{
    enum { LAUNCHES = 8 };
    CudaModel *gpu = driver();
    int seqs[MANY_ROWS];
    int32_t ids[MANY_ROWS] = {0};
    static float logits[MANY_ROWS * V];
    for (int k = 0; k < MANY_ROWS; k++)
        seqs[k] = k;
    for (int n = 1; n <= 2 * LAUNCHES; n++) {
        Run r;
        many_open(&r, ABI_CUDA);
        const bool recorded = n > LAUNCHES;
        gpu->fail_enqueue = n;
        if (recorded)
            OK(ssmc_step(r.session, seqs, ids, MANY_ROWS, logits));
        cr_expect_eq(ssmc_step(r.session, seqs, ids, MANY_ROWS, logits), SSMC_IO, "%d", n);
        expect_says("running the model on the GPU: too many resources requested for launch (701)");
        /* What was only recorded has changed nothing. */
        cr_expect_eq(ssmc_step(r.session, seqs, ids, MANY_ROWS, logits),
                     recorded ? SSMC_OK : SSMC_IO, "%d: %s", n, ssmc_error());
        cr_expect_eq(ssmc_tokens(r.session, 0), recorded ? 2 : 0);
        run_close(&r);
        cr_expect(gpu->contexts == 0 && gpu->dropped == 0 && gpu->used == 0, "%d", n);
    }
}

Test(cuda, halves_begin_early_within_themselves)
{
    CudaModel *gpu = driver();
    int seqs[MANY_ROWS];
    int32_t ids[MANY_ROWS] = {0};
    static float logits[MANY_ROWS * V];
    Run r;
    many_open(&r, ABI_CUDA);
    for (int k = 0; k < MANY_ROWS; k++)
        seqs[k] = k;
    for (int i = 0; i < 5; i++)
        OK(ssmc_step(r.session, seqs, ids, MANY_ROWS, logits));
    cr_expect_eq(gpu->early, 5 * 2 * 2); /* two of the four kernels of each */
    cr_expect_eq(gpu->launches, 5 * 2 * 4);
    cr_expect_eq(gpu->graphs, 1);
    run_close(&r);
}

/* A prompt's whole passes repeat, its last one does not. */
Test(cuda, passes_that_come_once_are_no_graphs)
{
    static int32_t ids[LONGEST];
    float logits[V];
    const CudaModel *gpu = driver();
    Run r;
    run_open(&r, ABI_CUDA, LONGEST);
    OK(ssmc_prefill(r.session, 0, ids, 2 * BLOCK + 7, logits));
    cr_expect_eq(gpu->graphs, 1);
    cr_expect_eq(gpu->replays, 1);
    OK(ssmc_prefill(r.session, 1, ids, 2 * BLOCK + 7, logits));
    cr_expect_eq(gpu->graphs, 2); /* now the last one has repeated, too */
    cr_expect_eq(gpu->replays, 4);
    run_close(&r);
}

/* More shapes in turn than there are places. */
Test(cuda, shapes_seen_longest_ago_give_way)
{
    Run run[2];
    const CudaModel *gpu = driver();
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    for (int round = 0; round < 2; round++)
        for (int64_t rows = 2; rows < 12; rows++) {
            const int64_t count[SEQUENCES] = {rows};
            feed_both(run, count, 1, rows);
            feed_both(run, count, 1, rows + 1);
            step_both(run, rows);
        }
    cr_expect_eq(gpu->graphs, 2 * 10 + 2, "%d", (int)gpu->graphs); /* those of the step stay */
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect_eq(gpu->dropped, 0);
}

/* ---- copies ------------------------------------------------------------------------------- */

/* Through two buffers of locked memory, or without them where there is none. */
Test(cuda, large_copies_go_through_locked_memory)
{
    enum { BYTES = (11 << 20) + 12345 };
    CudaModel *gpu = driver();
    const AbiProgram abi = program_of(ABI_CUDA);
    const RtDevice *device = rt_device(ABI_CUDA);
    RtImage *on = NULL;
    char *there = NULL, *here = malloc(BYTES), *back = malloc(BYTES);
    cr_assert(here && back);
    for (int i = 0; i < BYTES; i++)
        here[i] = (char)(i * 31 ^ i >> 11);
    OK(device->open(&abi, &on));
    OK(device->alloc(on, BYTES, "a test", &there));
    for (int fails = 0; fails < 3; fails++) {
        RtQueue *queue = NULL;
        OK(device->begin(on, &queue));
        gpu->fail_memory = fails;
        for (int twice = 0; twice < 2; twice++) {
            const uint64_t before = gpu->puts;
            here[BYTES - 1]++;
            OK(device->put(queue, there, here, BYTES));
            cr_expect_eq(gpu->puts - before, fails && !twice ? 1 : 6);
            OK(device->get(queue, back, there, BYTES));
            cr_expect_arr_eq(back, here, BYTES);
        }
        device->end(queue);
    }
    device->free(on, there, BYTES);
    device->close(on);
    cr_expect(gpu->contexts == 0 && gpu->dropped == 0 && gpu->used == 0);
    free(here);
    free(back);
}

/* ---- drawing ids --------------------------------------------------------------------------- */

/* Ways to draw that a list of one candidate settles, one of FEW as a rule or always, and none. */
static const ssmc_sampling ways[] = {
    {.temperature = 0},
    {.temperature = 0, .repeat_penalty = 1.2},
    {.temperature = 50, .top_k = FEW - 1, .seed = 3},
    {.temperature = 20, .top_k = FEW - 1, .top_p = 0.8, .min_p = 0.1, .seed = 4},
    {.temperature = 20, .top_k = 3, .repeat_penalty = 1.5, .seed = 5},
    {.temperature = 20, .min_p = 0.6, .seed = 6},
    {.temperature = 90, .min_p = 0.01, .seed = 7},
    {.temperature = 30, .top_k = FEW, .seed = 8},
    {.temperature = 30, .seed = 9},
    {.temperature = 30, .top_p = 0.7, .seed = 10},
    {.temperature = 0, .repeat_penalty = 0.5},
};

/* The ids that 4 sequences draw in 40 steps after prompts of different lengths, way[s] each. */
enum { DRAWN = 40 };

static void
draw_ids(ssmc_session *session, const int *way, bool by_logits, int32_t out[DRAWN][SEQUENCES])
{
    static int32_t prompt[150];
    static float logits[V];
    ssmc_turn turns[SEQUENCES] = {0};
    for (size_t i = 0; i < RT_COUNT(prompt); i++)
        prompt[i] = id_of((int64_t)i);
    for (int seq = 0; seq < SEQUENCES; seq++) {
        turns[seq] = (ssmc_turn){.seq = seq, .ids = prompt, .count = 1 + 49 * seq};
        OK(ssmc_sampler_open(&ways[way[seq]], V, &turns[seq].sampler));
        OK(ssmc_reset(session, seq));
    }
    for (int i = 0; i < DRAWN; i++) {
        for (int seq = 0; by_logits && seq < SEQUENCES; seq++) {
            OK(ssmc_prefill(session, seq, turns[seq].ids, turns[seq].count, logits));
            turns[seq].id = ssmc_sample(turns[seq].sampler, logits);
        }
        if (!by_logits)
            OK(ssmc_draw(session, turns, SEQUENCES));
        for (int seq = 0; seq < SEQUENCES; seq++) {
            out[i][seq] = turns[seq].id;
            turns[seq].ids = &turns[seq].id;
            turns[seq].count = 1;
        }
    }
    for (int seq = 0; seq < SEQUENCES; seq++)
        ssmc_sampler_close(turns[seq].sampler);
}

Test(cuda, ids_are_drawn_as_from_logits_of_the_cpu)
{
    static int32_t want[DRAWN][SEQUENCES], got[DRAWN][SEQUENCES];
    enum { WAYS = RT_COUNT(ways) };
    Run run[2];
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    for (int first = 0; first < WAYS; first++)
        for (int apart = 0; apart < 2; apart++) {
            int way[SEQUENCES];
            for (int seq = 0; seq < SEQUENCES; seq++)
                way[seq] = (first + apart * seq) % WAYS;
            draw_ids(run[0].session, way, true, want);
            for (int i = 0; i < 2; i++) {
                draw_ids(run[i].session, way, false, got);
                cr_expect_arr_eq(got, want, sizeof got, "%s, ways from %d, %d apart",
                                 i ? "GPU" : "CPU", first, apart);
            }
        }
    run_close(&run[0]);
    run_close(&run[1]);
}

/* n sequences that have read prompts of different lengths, and then ids[i]. */
static void
greedy_ids(const Run *r, int n, bool by_steps, int32_t out[SEQUENCES][DRAWN])
{
    static int32_t prompt[150];
    const int seqs[SEQUENCES] = {2, 0, 3, 1};
    const int32_t ids[SEQUENCES] = {1, 2, 3, 4};
    for (size_t i = 0; i < RT_COUNT(prompt); i++)
        prompt[i] = id_of((int64_t)i);
    for (int k = 0; k < n; k++) {
        OK(ssmc_reset(r->session, seqs[k]));
        OK(ssmc_prefill(r->session, seqs[k], prompt, 1 + 49 * k, NULL));
    }
    /* What it has made before does not matter: counts of 1, 7 and the rest. */
    int32_t first[SEQUENCES], next[SEQUENCES][DRAWN];
    memcpy(first, ids, sizeof first);
    for (int made = 0, some = 1; made < DRAWN; made += some) {
        some = by_steps || made == 0 ? 1 : made == 1 ? 7 : DRAWN - made;
        OK(ssmc_greedy(r->session, seqs, first, n, some, next[0]));
        for (int k = 0; k < n; k++) {
            memcpy(&out[k][made], next[0] + k * some, (size_t)some * sizeof **out);
            first[k] = out[k][made + some - 1];
        }
    }
    for (int k = 0; k < n; k++)
        cr_expect_eq(ssmc_tokens(r->session, seqs[k]), 1 + 49 * k + DRAWN);
}

Test(cuda, greedy_steps_follow_each_other_without_the_host)
{
    static int32_t want[SEQUENCES][DRAWN], got[SEQUENCES][DRAWN];
    const CudaModel *gpu = driver();
    Run run[2];
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    for (int n = 1; n <= SEQUENCES; n++) { /* the last is one more than rows are picked together */
        greedy_ids(&run[0], n, true, want);
        greedy_ids(&run[0], n, false, got);
        cr_expect_arr_eq(got, want, (size_t)n * sizeof *want, "CPU, %d sequences", n);
        greedy_ids(&run[1], n, true, got);
        cr_expect_arr_eq(got, want, (size_t)n * sizeof *want, "GPU by steps, %d sequences", n);
        for (int again = 0; again < 2; again++) {
            memset(got, 0, sizeof got);
            greedy_ids(&run[1], n, false, got);
            cr_expect_arr_eq(got, want, (size_t)n * sizeof *want, "GPU, %d sequences", n);
        }
    }
    const int seq = 1;
    const int32_t id = 3;
    int32_t made[100];
    for (int i = 0; i < 2; i++) /* the first pass of a call is a shape of its own */
        OK(ssmc_greedy(run[1].session, &seq, &id, 1, 5, made));
    const CudaModel before = *gpu;
    const uint64_t all = allocations();
    OK(ssmc_greedy(run[1].session, &seq, &id, 1, 100, made));
    cr_expect_eq(allocations(), all);
    cr_expect_eq(gpu->replays - before.replays, 100);
    cr_expect_eq(gpu->got - before.got, 100 * 2 * sizeof(float));
    cr_expect_eq(gpu->waits, before.waits); /* for events alone */
    run_close(&run[0]);
    run_close(&run[1]);
}

Test(cuda, greedy_calls_are_refused_before_anything_changes)
{
    enum { ROOM = 64 };
    const int seqs[] = {1, 2}, twice[] = {1, 1}, none[] = {1, 9};
    const int32_t ids[] = {1, 2}, bad[] = {1, V};
    int32_t out[2 * (ROOM + 1)];
    Run r;
    run_open(&r, ABI_CUDA, ROOM);
    cr_expect_eq(ssmc_greedy(NULL, seqs, ids, 2, 3, out), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_greedy(r.session, NULL, ids, 2, 3, out), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_greedy(r.session, seqs, NULL, 2, 3, out), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_greedy(r.session, seqs, ids, 2, 3, NULL), SSMC_BAD_ARGUMENT);
    expect_says("place for ids");
    cr_expect_eq(ssmc_greedy(r.session, seqs, ids, 0, 3, out), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_greedy(r.session, seqs, ids, 2, 0, out), SSMC_BAD_ARGUMENT);
    expect_says("0 ids to make; at least 1 is needed");
    cr_expect_eq(ssmc_greedy(r.session, twice, ids, 2, 3, out), SSMC_BAD_ARGUMENT);
    expect_says("sequence 1 is named twice");
    cr_expect_eq(ssmc_greedy(r.session, none, ids, 2, 3, out), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_greedy(r.session, seqs, bad, 2, 3, out), SSMC_BAD_ARGUMENT);
    OK(ssmc_prefill(r.session, 2, ids, 1, NULL));
    cr_expect_eq(ssmc_greedy(r.session, seqs, ids, 2, ROOM, out), SSMC_FULL);
    expect_says("sequence 2 is full: it has 1 tokens, 64 more are to come, and it has room for 64");
    cr_expect_eq(ssmc_tokens(r.session, 1), 0);
    OK(ssmc_greedy(r.session, seqs, ids, 2, ROOM - 1, out));
    cr_expect_eq(ssmc_tokens(r.session, 2), ROOM);
    run_close(&r);
}

/* The second graph of the two slots finds no memory: what was begun before is done, and counted. */
Test(cuda, greedy_steps_that_fail_leave_the_session_as_it_says)
{
    CudaModel *gpu = driver();
    const int seq = 1;
    const int32_t id = 3;
    int32_t made[50], want[50];
    Run r;
    run_open(&r, ABI_CUDA, LONGEST);
    OK(ssmc_greedy(r.session, &seq, &id, 1, 50, want));
    run_close(&r);
    run_open(&r, ABI_CUDA, LONGEST);
    gpu->fail_graph = 2;
    cr_expect_eq(ssmc_greedy(r.session, &seq, &id, 1, 50, made), SSMC_NO_MEMORY);
    const int64_t done = ssmc_tokens(r.session, seq);
    cr_assert(done > 1 && done < 50);
    cr_expect_arr_eq(made, want, (size_t)done * sizeof *made);
    OK(ssmc_greedy(r.session, &seq, &made[done - 1], 1, 50 - done, made + done));
    cr_expect_arr_eq(made, want, sizeof want);
    gpu->fail_launch = 10;
    cr_expect_eq(ssmc_greedy(r.session, &seq, &id, 1, 50, made), SSMC_LOST);
    cr_expect_eq(ssmc_greedy(r.session, &seq, &id, 1, 50, made), SSMC_LOST);
    run_close(&r);
    cr_expect_eq(gpu->contexts, 0);
}

/* Bytes that come from the GPU for each of 20 steps of three sequences. */
static double
bytes_a_step(const ssmc_sampling *how, double *others)
{
    enum { STEPS = 20 };
    const CudaModel *gpu = driver();
    const int32_t start[] = {1, 2, 3};
    ssmc_turn turns[3];
    Run r;
    run_open(&r, ABI_CUDA, LONGEST);
    for (int i = 0; i < 3; i++) {
        turns[i] = (ssmc_turn){.seq = i, .ids = &start[i], .count = 1};
        OK(ssmc_sampler_open(how, V, &turns[i].sampler));
    }
    for (int i = 0; i < 3; i++)
        OK(ssmc_draw(r.session, turns, 3));
    const CudaModel before = *gpu;
    const uint64_t all = allocations();
    for (int i = 0; i < STEPS; i++)
        OK(ssmc_draw(r.session, turns, 3));
    cr_expect_eq(allocations(), all);
    cr_expect_eq(gpu->replays - before.replays, STEPS);
    *others = (double)(gpu->gets - before.gets) / STEPS;
    const double bytes = (double)(gpu->got - before.got) / STEPS;
    for (int i = 0; i < 3; i++)
        ssmc_sampler_close(turns[i].sampler);
    run_close(&r);
    return bytes;
}

Test(cuda, logits_stay_there_where_candidates_settle_the_draw)
{
    double gets = 0;
    cr_expect_eq(bytes_a_step(&ways[0], &gets), 3 * 2 * 4);
    cr_expect_eq(gets, 0);
    cr_expect_eq(bytes_a_step(&ways[2], &gets), 3 * 2 * FEW * 4);
    cr_expect_eq(gets, 0);
    cr_expect_eq(bytes_a_step(&ways[8], &gets), 3 * V * 4);
    cr_expect_eq(gets, 0);
    /* Nearly all words pass: each row is asked for. */
    cr_expect_eq(bytes_a_step(&(ssmc_sampling){.temperature = 1e6, .min_p = 0.01}, &gets),
                 3 * (2 * FEW + V) * 4);
    cr_expect_eq(gets, 3);
}

Test(cuda, a_draw_is_refused_before_anything_changes)
{
    ssmc_sampler *other = NULL, *right = NULL;
    const int32_t id = 1;
    Run r;
    run_open(&r, ABI_CUDA, LONGEST);
    OK(ssmc_sampler_open(&ways[0], V + 1, &other));
    OK(ssmc_sampler_open(&ways[0], V, &right));
    ssmc_turn turns[] = {
        {.seq = 0, .ids = &id, .count = 1, .sampler = right},
        {.seq = 1, .ids = &id, .count = 1, .sampler = other},
    };
    cr_expect_eq(ssmc_draw(r.session, turns, 2), SSMC_BAD_ARGUMENT);
    expect_says("a sampler of 12 ids for sequence 1; the model has 11");
    turns[1] = turns[0];
    cr_expect_eq(ssmc_draw(r.session, turns, 2), SSMC_BAD_ARGUMENT);
    expect_says("sequence 0 is named twice");
    cr_expect_eq(ssmc_draw(r.session, turns, 0), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_draw(r.session, NULL, 1), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_draw(NULL, turns, 1), SSMC_BAD_ARGUMENT);
    turns[1] = (ssmc_turn){.seq = 1, .ids = &id, .count = 1, .id = -7};
    cr_expect_eq(ssmc_tokens(r.session, 0), 0);
    OK(ssmc_draw(r.session, turns, 2));
    cr_expect(turns[0].id >= 0 && turns[1].id == -7, "an id is drawn for sequence 0 alone");
    cr_expect_eq(ssmc_tokens(r.session, 1), 1);
    ssmc_sampler_close(other);
    ssmc_sampler_close(right);
    run_close(&r);
}

/* ---- memory -------------------------------------------------------------------------------- */

Test(cuda, memory_is_what_is_said)
{
    const CudaModel *gpu = driver();
    static int32_t ids[LONGEST];
    Run r;
    run_open(&r, ABI_CUDA, LONGEST);
    const ssmc_memory m = ssmc_program_memory(r.program, SEQUENCES, 3);
    cr_expect_eq(m.total, m.kept + m.params + SEQUENCES * m.state + m.scratch);
    cr_expect_leq(m.device, m.total);
    cr_expect_geq(gpu->used, m.device);
    cr_expect_leq(gpu->used, m.device + 2 * RT_LINE); /* params and weights, on lines */
    cr_expect_eq(gpu->maps, 0);
    const size_t before = gpu->used;
    OK(ssmc_prefill(r.session, 0, ids, 1, NULL));
    const size_t least = gpu->used - before;
    cr_expect_leq(least, 4 * CUDA_MODEL_GRANULE);
    OK(ssmc_prefill(r.session, 0, ids, LONGEST - 1, NULL));
    const size_t all = (size_t)m.token / 2 * LONGEST; /* the other half is the window's */
    cr_expect_geq(gpu->used - before, all);
    cr_expect_leq(gpu->used - before, all + 2 * 256 * WIDE * 4 + 4 * CUDA_MODEL_GRANULE);
    run_close(&r);
    Run cpu;
    run_open(&cpu, ABI_CPU, LONGEST);
    cr_expect_eq(ssmc_program_memory(cpu.program, SEQUENCES, 3).device, 0);
    run_close(&cpu);
}

/* The first allocation that fails, then the second, and so on. */
/* tests/device.sh has 100000 of them. A model without growing states: neither the GPU's memory nor
 * the host's grows. */
Test(cuda, twenty_thousand_tokens_take_no_memory)
{
    enum { TOKENS = 20000, WARM = 5 };
    const CudaModel *gpu = driver();
    AbiProgram abi = program_of(ABI_CUDA);
    AbiEntry fixed[] = {entries[0], entries[1]};
    AbiOperand fewer[RT_COUNT(operands)];
    memcpy(fewer, operands, sizeof operands);
    for (size_t i = 0; i < RT_COUNT(operands); i++)
        if (fewer[i].space == ABI_KEPT)
            fewer[i] = (AbiOperand){ABI_SLAB, 0, 0};
    for (size_t i = 0; i < RT_COUNT(fixed); i++)
        fixed[i].layers.count = 2; /* no keep */
    abi.entries = fixed;
    abi.operands = fewer;
    abi.nstates = 2;
    Run r;
    OK(run_try(&r, &abi, 100));
    ssmc_turn turn = {.ids = &turn.id, .count = 1};
    OK(ssmc_sampler_open(&ways[0], V, &turn.sampler));
    for (int i = 0; i < WARM; i++)
        OK(ssmc_draw(r.session, &turn, 1));
    const CudaModel before = *gpu;
    const uint64_t all = allocations();
    for (int i = 0; i < TOKENS; i++)
        OK(ssmc_draw(r.session, &turn, 1));
    cr_expect_eq(ssmc_tokens(r.session, 0), TOKENS + WARM);
    cr_expect_eq(ssmc_room(r.session), INT64_MAX);
    cr_expect_eq(allocations(), all);
    cr_expect(gpu->used == before.used && gpu->live == before.live && gpu->maps == before.maps);
    cr_expect_eq(gpu->replays - before.replays, TOKENS);
    ssmc_sampler_close(turn.sampler);
    run_close(&r);
    cr_expect_eq(gpu->used, 0);
}

Test(cuda, no_memory_is_a_status_wherever_it_ends)
{
    CudaModel *gpu = driver();
    const AbiProgram abi = program_of(ABI_CUDA);
    Run r;
    int failed = 0;
    for (;; failed++) {
        gpu->fail_memory = failed + 1;
        const ssmc_status status = run_try(&r, &abi, LONGEST);
        if (status == SSMC_OK)
            break;
        cr_assert_eq(status, SSMC_NO_MEMORY, "%s", ssmc_error());
        expect_says("no memory");
        if (failed == 0)
            expect_says("are free (Model GPU)");
        run_close(&r);
        cr_assert(gpu->contexts == 0 && gpu->dropped == 0 && gpu->used == 0);
    }
    cr_expect_eq(failed, 3); /* weights, the session there, and what is locked here */
    gpu->fail_memory = 0;
    run_close(&r);
}

Test(cuda, a_sequence_that_finds_no_memory_stays_what_it_is)
{
    Run run[2];
    static int32_t ids[LONGEST];
    float logits[V];
    CudaModel *gpu = driver();
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    const int64_t count[SEQUENCES] = {10, 20, 1, 2};
    feed_both(run, count, 1, 0);
    gpu->fail_memory = 3;
    cr_expect_eq(ssmc_prefill(run[1].session, 1, ids, LONGEST - 20, logits), SSMC_NO_MEMORY);
    expect_says("no memory of the GPU for growing states: 65536 bytes, and ");
    cr_expect_eq(ssmc_tokens(run[1].session, 1), 20);
    step_both(run, 5);
    const int64_t rest[SEQUENCES] = {3, LONGEST - 21, 0, 0};
    feed_both(run, rest, 3, 1);
    gpu->fail_memory = 1;
    cr_expect_eq(ssmc_fork(run[1].session, 1, 2), SSMC_NO_MEMORY);
    step_both(run, 6 - 6);
    run_close(&run[0]);
    run_close(&run[1]);
}

/* ---- an engine ----------------------------------------------------------------------------- */

enum { ASKED = 3, ANSWER = 20 };

/* Prompts of 100, 200 and 300 ids. */
static void
ask(Engine *engine, Asked *asked[ASKED])
{
    for (int i = 0; i < ASKED; i++) {
        asked[i] = asked_new(NULL, 0, 100 + 100 * i, ANSWER);
        for (int64_t k = 0; k < asked[i]->asked.count; k++)
            asked[i]->prompt[k] = id_of(k + i);
        asked[i]->asked.top = i % 2 ? TOP : -1;
        asked[i]->asked.sampling = (ssmc_sampling){.temperature = 500, .seed = (uint64_t)i};
        engine_take(engine, asked[i]);
    }
    for (int i = 0; i < ASKED; i++)
        asked_end(asked[i]);
}

static void
expect_all(Asked *got[ASKED], Asked *want[ASKED], int64_t cached)
{
    for (int i = 0; i < ASKED; i++) {
        cr_expect_eq(got[i]->result.end, ENGINE_length, "request %d: %s", i, got[i]->error);
        cr_expect_eq(got[i]->result.cached, cached ? got[i]->asked.count - 1 : 0);
        cr_expect_arr_eq(got[i]->id, want[i]->id, ANSWER * sizeof(int32_t), "request %d", i);
        cr_expect_arr_eq(got[i]->logprob, want[i]->logprob, ANSWER * sizeof(float));
        asked_free(got[i]);
    }
}

/* A step that finds no memory is tried again, request by request: who finds none then fails alone;
 * a GPU that is lost fails all, and the engine still ends. */
Test(cuda, an_engine_fails_those_requests_alone_that_must)
{
    CudaModel *gpu = driver();
    Run run[2];
    Asked *want[ASKED], *got[ASKED];
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    Engine *cpu = engine_of(NULL, (EngineOptions){.model = run[0].model});
    ask(cpu, want);
    engine_close(cpu);
    Engine *engine =
        engine_of(NULL, (EngineOptions){.model = run[1].model, .prefix_bytes = 1 << 30});
    gpu->fail_memory = 1;
    ask(engine, got);
    expect_all(got, want, 0);
    cr_expect_eq(gpu->fail_memory, 0);
    ask(engine, got);
    expect_all(got, want, 1);
    Asked *large = asked_new(NULL, 0, MOST, 400), *small = asked_new(NULL, 0, 10, 5);
    gpu->bytes = gpu->used;
    engine_take(engine, large);
    engine_take(engine, small);
    asked_end(large);
    asked_end(small);
    cr_expect_eq(large->result.end, ENGINE_failed);
    cr_expect(strstr(large->error, "no memory of the GPU for growing states"), "%s", large->error);
    cr_expect_eq(small->result.end, ENGINE_length, "%s", small->error);
    gpu->bytes = 0;
    ask(engine, got);
    expect_all(got, want, 1);
    gpu->fail_launch = 1;
    for (int round = 0; round < 2; round++) {
        ask(engine, got);
        for (int i = 0; i < ASKED; i++) {
            cr_expect_eq(got[i]->result.end, ENGINE_failed);
            cr_expect(strstr(got[i]->error, "GPU"), "%s", got[i]->error);
            asked_free(got[i]);
        }
    }
    engine_close(engine);
    for (int i = 0; i < ASKED; i++)
        asked_free(want[i]);
    asked_free(large);
    asked_free(small);
    run_close(&run[0]);
    run_close(&run[1]);
}

Test(cuda, no_memory_for_a_graph_changes_nothing)
{
    Run run[2];
    const int seqs[] = {0};
    const int32_t ids[] = {1};
    CudaModel *gpu = driver();
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    const int64_t count[SEQUENCES] = {1};
    feed_both(run, count, 1, 0);
    gpu->fail_graph = 1;
    float logits[V];
    cr_expect_eq(ssmc_step(run[1].session, seqs, ids, 1, logits), SSMC_NO_MEMORY);
    expect_says("out of memory");
    cr_expect_eq(ssmc_tokens(run[1].session, 0), 1);
    for (int i = 0; i < 4; i++)
        feed_both(run, count, 1, i);
    run_close(&run[0]);
    run_close(&run[1]);
}

/* ---- models -------------------------------------------------------------------------------- */

Test(cuda, models_share_weights_and_packed_files)
{
    CudaModel *gpu = driver();
    char *dir = temp_dir(), *cache = path_join(dir, "cache");
    Run run[2];
    run_open(&run[0], ABI_CPU, LONGEST);
    const AbiProgram abi = program_of(ABI_CUDA), cpu = program_of(ABI_CPU);
    for (int round = 0; round < 2; round++) { /* packed, then read */
        Run *r = &run[1];
        *r = (Run){.abi = abi, .weights = small_weights()};
        OK(rt_program_wrap(&r->abi, &r->program));
        OK(rt_model_open(r->program, r->weights, cache, 1, NULL, NULL, &r->model));
        cr_expect_null(ssmc_model_warning(r->model));
        cr_expect_null(rt_model_params(r->model)); /* they are there alone */
        OK(ssmc_session_open(r->model, SEQUENCES, 1, &r->session));
        step_both(run, round);
        if (round == 0)
            run_close(r);
        for (int seq = 0; seq < SEQUENCES; seq++)
            OK(ssmc_reset(run[0].session, seq));
    }
    const size_t used = gpu->used;
    ssmc_model *beside = NULL, *other = NULL;
    ssmc_program *of_cpu = NULL;
    OK(rt_model_beside(run[1].program, run[1].weights, run[1].model, &beside));
    cr_assert_not_null(beside);
    cr_expect_eq(gpu->used, used);
    OK(rt_program_wrap(&cpu, &of_cpu));
    OK(rt_model_beside(of_cpu, run[1].weights, run[1].model, &other));
    cr_expect_null(other); /* its parameters would be elsewhere */
    ssmc_session_close(run[1].session);
    OK(ssmc_session_open(beside, SEQUENCES, 1, &run[1].session));
    step_both(run, 8);
    ssmc_session_close(run[1].session);
    run[1].session = NULL;
    ssmc_model_close(beside);
    rt_program_free(of_cpu);
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect_eq(gpu->dropped, 0);
    free(cache);
    temp_dir_remove(dir);
}

/* Weights made by rules are freed here once they are there; saved states know the model all the
 * same. */
Test(cuda, weights_made_by_rules)
{
    char *dir = temp_dir(), *path = path_join(dir, "a.state");
    Run run[2];
    driver();
    for (int i = 0; i < 2; i++) {
        Run *r = &run[i];
        *r = (Run){.abi = program_of(i ? ABI_CUDA : ABI_CPU)};
        OK(rt_weights_describe(weights, RT_COUNT(weights), 3, &r->weights));
        OK(rt_program_wrap(&r->abi, &r->program));
        OK(ssmc_model_open(r->program, r->weights, 1, NULL, NULL, &r->model));
        OK(ssmc_session_open_for(r->model, SEQUENCES, 1, LONGEST, &r->session));
    }
    step_both(run, 1);
    OK(ssmc_state_save(run[1].session, 0, path, NULL, 0));
    OK(ssmc_state_load(run[0].session, 3, path, NULL, NULL));
    run_close(&run[0]);
    run_close(&run[1]);
    free(path);
    temp_dir_remove(dir);
}

static void *
serve(void *arg)
{
    Run *r = arg;
    static const int32_t ids[BLOCK + 9];
    float logits[V];
    for (int i = 0; i < 20; i++) {
        for (int seq = 0; seq < SEQUENCES; seq++)
            OK(ssmc_prefill(r->session, seq, ids, 1 + (i * 7 + seq) % (BLOCK + 9), logits));
        OK(ssmc_fork(r->session, 0, 1));
        for (int seq = 0; seq < SEQUENCES; seq++)
            OK(ssmc_reset(r->session, seq));
    }
    return NULL;
}

Test(cuda, threads_have_sessions_of_their_own)
{
    enum { THREADS = 3 };
    Run run[2], more[THREADS] = {0};
    pthread_t thread[THREADS];
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    for (int i = 0; i < THREADS; i++) {
        OK(ssmc_session_open(run[1].model, SEQUENCES, 1, &more[i].session));
        cr_assert_eq(pthread_create(&thread[i], NULL, serve, &more[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        step_both(run, i);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        ssmc_session_close(more[i].session);
    }
    run_close(&run[0]);
    run_close(&run[1]);
}

Test(cuda, profiles_time_each_step)
{
    Run run[2];
    RtEvent events[8];
    RtLane lane = {.events = events, .most = RT_COUNT(events)};
    run_open(&run[0], ABI_CPU, LONGEST);
    run_open(&run[1], ABI_CUDA, LONGEST);
    rt_session_profile(run[1].session, true);
    step_both(run, 1);
    for (int i = 1; i < 5; i++)
        cr_expect_gt(rt_session_step_seconds(run[1].session, i), 0);
    rt_session_profile(run[1].session, false);
    rt_session_trace(run[1].session, &lane);
    step_both(run, 2);
    rt_session_trace(run[1].session, NULL);
    cr_expect_eq(lane.count, 5); /* the head takes four rows in two turns */
    cr_expect(events[0].step == 1 && events[3].step == 4 && events[3].to > events[0].from);
    step_both(run, 3);
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect_eq(driver()->dropped, 0);
}

/* ---- what goes wrong ----------------------------------------------------------------------- */

static void
refused(const AbiProgram *abi, ssmc_status status, const char *says)
{
    Run r;
    cr_expect_eq(run_try(&r, abi, LONGEST), status, "%s", says);
    expect_says(says);
    cr_expect_null(strchr(ssmc_error(), '\n'));
    run_close(&r);
    cr_expect_eq(driver()->contexts, 0);
    cr_expect_eq(driver()->dropped, 0);
}

Test(cuda, no_driver)
{
    const AbiProgram abi = program_of(ABI_CUDA);
    Run r;
    setenv("SSMC_CUDA_LIBRARY", "/nowhere/libcuda.so.1", 1);
    cr_expect_eq(run_try(&r, &abi, LONGEST), SSMC_UNSUPPORTED);
    expect_says("there is no driver of a GPU: /nowhere/libcuda.so.1: cannot open");
    run_close(&r);
    setenv("SSMC_CUDA_LIBRARY", "libm.so.6", 1);
    cr_expect_eq(run_try(&r, &abi, LONGEST), SSMC_UNSUPPORTED);
    expect_says("the GPU's driver is too old: libm.so.6 has no cuInit");
    run_close(&r);
    RtGpu gpu;
    cr_expect_not(rt_gpu_look(&gpu));
    run_open(&r, ABI_CUDA, LONGEST); /* and now there is one */
    cr_assert(rt_gpu_look(&gpu));
    cr_expect_str_eq(gpu.name, "Model GPU");
    cr_expect_eq(gpu.multiprocessors, 7);
    cr_expect_eq(gpu.capability, 90);
    cr_expect_eq(gpu.driver, 124);
    cr_expect_eq(gpu.bytes, (size_t)1 << 30);
    run_close(&r);
}

Test(cuda, no_gpu)
{
    const AbiProgram abi = program_of(ABI_CUDA);
    driver()->no_gpu = true;
    refused(&abi, SSMC_UNSUPPORTED, "there is no GPU: CUDA's driver finds none");
    driver()->no_gpu = false;
    driver()->init = 803;
    refused(&abi, SSMC_UNSUPPORTED,
            "CUDA's driver does not start: an error that it has no text for "
            "(803)");
}

Test(cuda, a_gpu_that_is_not_for_the_code)
{
    AbiProgram abi = program_of(ABI_CUDA);
    driver()->capability = 75;
    refused(&abi, SSMC_UNSUPPORTED,
            "the model was compiled for GPUs from sm_80, and the one here (Model GPU) is sm_75");
    abi.target = "sm_90a";
    driver()->capability = 100;
    refused(
        &abi, SSMC_UNSUPPORTED,
        "the model was compiled for GPUs that are sm_90, and the one here (Model GPU) is sm_100");
    abi.target = "sm_90b";
    refused(&abi, SSMC_BAD_FILE, "is for an unknown GPU: sm_90b");
    abi.target = "gfx90a";
    refused(&abi, SSMC_BAD_FILE, "is for an unknown GPU: gfx90a");
}

Test(cuda, code_that_the_driver_does_not_take)
{
    AbiProgram abi = program_of(ABI_CUDA);
    driver()->version = 78;
    refused(&abi, SSMC_UNSUPPORTED,
            "the GPU's driver, of CUDA 12.4, does not take the model's code: ptxas application ptx "
            "input, line 1; fatal   : Unsupported .version 8.3; current version is '7.8' (222)");
    driver()->version = 0;
    abi.image = "nothing";
    abi.image_bytes = 7;
    refused(&abi, SSMC_UNSUPPORTED,
            "does not take the model's code: an error that it has no text for (218)");
    abi.image = ".version 8.0\n.entry embed_rows\n";
    abi.image_bytes = (int64_t)strlen(abi.image);
    refused(&abi, SSMC_IO, "kernel scan_h with 100000 bytes of shared memory: ");
    abi = program_of(ABI_CUDA);
    AbiLaunch large[RT_COUNT(launches)];
    memcpy(large, launches, sizeof launches);
    large[1].shared_bytes = 300 << 10;
    abi.launches = large;
    refused(&abi, SSMC_IO, "kernel scan_h with 307200 bytes of shared memory: ");
}

/* The GPU fails at its n-th launch: at the first step of a pass, at the last, in a graph. */
Test(cuda, a_lost_gpu_says_so_from_then_on)
{
    char *dir = temp_dir(), *path = path_join(dir, "a.state"), *late = path_join(dir, "b.state");
    CudaModel *gpu = driver();
    for (int n = 1; n <= 16; n++) {
        Run run[2];
        ssmc_checkpoint *c = NULL, *none = NULL;
        const int64_t one[SEQUENCES] = {1};
        static const int32_t ids[] = {3};
        float logits[V];
        run_open(&run[0], ABI_CPU, LONGEST);
        run_open(&run[1], ABI_CUDA, LONGEST);
        step_both(run, 1);
        OK(ssmc_checkpoint_take(run[1].session, 0, &c));
        OK(ssmc_state_save(run[1].session, 0, path, NULL, 0));
        gpu->fail_launch = n;
        ssmc_status status = SSMC_OK;
        int64_t tokens = 0;
        while (status == SSMC_OK) {
            tokens = ssmc_tokens(run[1].session, 0);
            status = ssmc_prefill(run[1].session, 0, ids, 1, logits);
        }
        cr_assert_eq(status, SSMC_LOST, "%s", ssmc_error());
        expect_says("the GPU (Model GPU) is lost, and what was in its memory with it: running the "
                    "model on the GPU: an illegal memory access was encountered (700)");
        cr_expect_eq(ssmc_tokens(run[1].session, 0), tokens);
        cr_expect_eq(ssmc_prefill(run[1].session, 1, ids, 1, NULL), SSMC_LOST);
        cr_expect_eq(ssmc_reset(run[1].session, 1), SSMC_LOST);
        cr_expect_eq(ssmc_fork(run[1].session, 1, 2), SSMC_LOST);
        cr_expect_eq(ssmc_rewind(run[1].session, 0, c), SSMC_LOST);
        cr_expect_eq(ssmc_checkpoint_take(run[1].session, 0, &none), SSMC_LOST);
        cr_expect_null(none);
        cr_expect_eq(ssmc_state_save(run[1].session, 0, late, NULL, 0), SSMC_LOST);
        expect_says("is lost");
        cr_expect(access(late, F_OK) != 0 && temporaries(dir) == 0);
        cr_expect_eq(ssmc_state_load(run[1].session, 1, path, NULL, NULL), SSMC_LOST);
        ssmc_session *s = NULL;
        cr_expect_eq(ssmc_session_open(run[1].model, 1, 1, &s), SSMC_LOST);
        cr_expect_null(s);
        ssmc_checkpoint_drop(c);
        run_close(&run[1]);
        /* What was saved goes on, on the same GPU, once the model that was lost is closed. */
        run_open(&run[1], ABI_CUDA, LONGEST);
        OK(ssmc_state_load(run[1].session, 0, path, NULL, NULL));
        OK(ssmc_reset(run[0].session, 1));
        OK(ssmc_reset(run[0].session, 2));
        OK(ssmc_reset(run[0].session, 3));
        for (int i = 0; i < 3; i++)
            feed_both(run, one, 1, i);
        run_close(&run[0]);
        run_close(&run[1]);
    }
    free(path);
    free(late);
    temp_dir_remove(dir);
}

/* A launch that is refused leaves a pass half done, but not other sessions. */
Test(cuda, a_pass_that_fails_midway_ends_its_session)
{
    static const int32_t ids[] = {3};
    float logits[V];
    ssmc_session *s = NULL;
    Run r;
    run_open(&r, ABI_CUDA, LONGEST);
    OK(ssmc_session_open(r.model, 1, 1, &s));
    driver()->fail_enqueue = 3;
    cr_expect_eq(ssmc_prefill(r.session, 0, ids, 1, logits), SSMC_IO);
    expect_says("running the model on the GPU: too many resources requested for launch (701)");
    cr_expect_eq(ssmc_prefill(r.session, 1, ids, 1, logits), SSMC_IO);
    expect_says("the session is of no use since one of its passes failed: running the model on");
    cr_expect_eq(ssmc_reset(r.session, 0), SSMC_IO);
    OK(ssmc_prefill(s, 0, ids, 1, logits));
    ssmc_session_close(s);
    run_close(&r);
    cr_expect_eq(driver()->dropped, 0);
}

Test(cuda, a_fork_of_the_process_cannot_use_it)
{
    static const int32_t ids[] = {3};
    float logits[V];
    Run r;
    ssmc_session *s = NULL;
    run_open(&r, ABI_CUDA, LONGEST);
    OK(ssmc_prefill(r.session, 0, ids, 1, logits));
    const pid_t child = fork();
    if (child == 0) {
        const bool said = ssmc_prefill(r.session, 0, ids, 1, logits) == SSMC_BAD_ARGUMENT &&
                          strstr(ssmc_error(), "and not of this fork of it") &&
                          ssmc_tokens(r.session, 0) == 1 &&
                          ssmc_session_open(r.model, 1, 1, &s) == SSMC_BAD_ARGUMENT;
        run_close(&r);
        _exit(said ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(ssmc_prefill(r.session, 0, ids, 1, logits));
    run_close(&r);
    cr_expect_eq(driver()->dropped, 0);
}

Test(cuda, info_names_the_gpu)
{
    char library[4096];
    snprintf(library, sizeof library, "SSMC_CUDA_LIBRARY=%s", SSMC_CUDA_MODEL);
    const char *const argv[] = {"/usr/bin/env", library, SSMC_BINARY, "info", NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, "gpu      Model GPU (sm_90), 7 multiprocessors, 1024 MiB, driver of "
                            "CUDA 12.4\n"),
              "%s", r.out);
    cr_expect(strstr(r.err, "the GPU is not measured: kernel probe_"), "%s", r.err);
    command_free(&r);
    const char *const idle[] = {"/usr/bin/env", library, "SSMC_CUDA_MODEL_IDLE=1",
                                SSMC_BINARY,    "info",  NULL};
    r = command_run(idle, NULL, 0);
    cr_expect_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, "ceilings of Model GPU, code of sm_90a:\n"), "%s", r.out);
    cr_expect(strstr(r.out, "  tensor cores bf16 "), "%s", r.out);
    command_free(&r);
}

/* ---- broken programs ----------------------------------------------------------------------- */

static void
broken(const AbiProgram *abi, const char *says)
{
    ssmc_program *p = NULL;
    cr_expect_eq(rt_program_wrap(abi, &p), SSMC_BAD_FILE, "%s", says);
    expect_says(says);
}

static void
broken_launch(AbiLaunch launch, const char *says)
{
    AbiProgram abi = program_of(ABI_CUDA);
    AbiLaunch list[RT_COUNT(launches)];
    memcpy(list, launches, sizeof launches);
    list[3] = launch;
    abi.launches = list;
    broken(&abi, says);
}

static const AbiMap map = {
    .operand = 1,
    .rank = 2,
    .of = ABI_PICKED,
    .box = {ABI_MAP_ROW, 8  },
    .dim = {100,         3  },
    .stride = {2,           208}
};

static void
broken_map(AbiMap m, const char *says)
{
    AbiLaunch l = launches[3];
    l.maps = 1;
    l.map[0] = m;
    broken_launch(l, says);
}

static void
broken_maps(void)
{
    static const char says[] = "a launch has an impossible map (3)";
    AbiLaunch l = launches[3];
    l.maps = ABI_MOST_MAPS + 1;
    broken_launch(l, says);
    AbiMap m = map;
    m.rank = 1;
    broken_map(m, says);
    m = map, m.rank = ABI_MAP_RANK + 1;
    broken_map(m, says);
    m = map, m.offset = 8;
    broken_map(m, says);
    m = map, m.stride[1] = 200;
    broken_map(m, says);
    m = map, m.box[1] = 257;
    broken_map(m, says);
    m = map, m.box[0] = 32;
    broken_map(m, says);
    m = map, m.dim[1] = 0;
    broken_map(m, says);
    m = map, m.of = (AbiCount)4;
    broken_map(m, says);
    m = map, m.operand = 100;
    broken_map(m, "a step has a map of no operand of its own");
}

/* Made for each launch that is given or recorded: not as a graph runs again. */
Test(cuda, maps_of_operands)
{
    CudaModel *gpu = driver();
    AbiProgram abi = program_of(ABI_CUDA);
    AbiLaunch list[RT_COUNT(launches)];
    Run run[2];
    memcpy(list, launches, sizeof launches);
    list[3].maps = 2;
    list[3].map[0] = list[3].map[1] = map;
    abi.launches = list;
    run_open(&run[0], ABI_CPU, LONGEST);
    OK(run_try(&run[1], &abi, LONGEST));
    for (int i = 0; i < 4; i++)
        step_three(run);
    cr_expect_eq(gpu->boxes, 4);
    run_close(&run[0]);
    run_close(&run[1]);
    cr_expect_eq(gpu->dropped, 0);
}

/* Of the head, whose operand 3 is a parameter: bytes of its panels lie in it or not. */
static void
broken_panels(void)
{
    static const char says[] = "panels of a step lie outside its operands (4)";
    AbiProgram p = program_of(ABI_CPU);
    AbiStep some[RT_COUNT(cpu_steps)];
    memcpy(some, cpu_steps, sizeof some);
    p.steps = some;
    AbiStep *head = &some[4];
    head->few = 1, head->panels = 1, head->panel_bytes = p.param_bytes + 1;
    for (head->weight = -1; head->weight <= head->operands; head->weight++)
        broken(&p, says);
}

Test(cuda, broken_programs_are_refused)
{
    const AbiProgram good = program_of(ABI_CUDA);
    AbiProgram p = good;
    p.device = ABI_DEVICE_COUNT;
    broken(&p, "an unknown device (2)");
    p = good, p.target = "";
    broken(&p, "its device has no name");
    p = good, p.target = NULL;
    broken(&p, "its device has no name");
    p = good, p.image = NULL;
    broken(&p, "its device's code is no text");
    p = good, p.image_bytes--;
    broken(&p, "its device's code is no text");
    p = good, p.image_bytes = 0;
    broken(&p, "its device's code is no text");
    p = good, p.calls_blas = 1;
    broken(&p, "its device calls OpenBLAS");
    p = good, p.nlaunches = 3;
    broken(&p, "a step has no kernel or no operands (4)");
    p = good, p.steps = cpu_steps; /* none but those of init run here */
    broken(&p, "a step has no kernel or no operands (1)");
    p = good, p.init.count = 2; /* and those do */
    broken(&p, "a step has no kernel or no operands (1)");
    p = program_of(ABI_CPU), p.steps = gpu_steps;
    broken(&p, "a step has no kernel or no operands (1)");
    broken_panels();
    AbiLaunch l = launches[3];
    l.symbol = NULL;
    broken_launch(l, "a launch has no kernel (3)");
    l = launches[3], l.symbol = "";
    broken_launch(l, "a launch has no kernel (3)");
    l = launches[3], l.threads = 0;
    broken_launch(l, "a launch has impossible blocks (3)");
    l = launches[3], l.threads = 1025;
    broken_launch(l, "a launch has impossible blocks (3)");
    l = launches[3], l.waits = 2;
    broken_launch(l, "a launch has impossible blocks (3)");
    l = launches[3], l.cluster = 4; /* its grid has 6 blocks */
    broken_launch(l, "a launch has an impossible cluster (3)");
    l = launches[3], l.cluster = -1;
    broken_launch(l, "a launch has an impossible cluster (3)");
    l = launches[0], l.cluster = 2; /* its grid counts tokens */
    broken_launch(l, "a launch has an impossible cluster (3)");
    l = launches[3], l.cluster = 3, l.across = 4, l.down = 1;
    broken_launch(l, "a launch has an impossible cluster (3)");
    l = launches[3], l.across = -1, l.down = 1;
    broken_launch(l, "a launch has an impossible grid of more rows (3)");
    l = launches[3], l.across = 6;
    broken_launch(l, "a launch has an impossible grid of more rows (3)");
    l = launches[0], l.across = 6, l.down = 1; /* its grid counts tokens */
    broken_launch(l, "a launch has an impossible grid of more rows (3)");
    l = launches[3], l.shared_bytes = -1;
    broken_launch(l, "a launch has impossible blocks (3)");
    l = launches[1], l.shared_spare = l.shared_bytes + 1;
    broken_launch(l, "a launch has impossible blocks (3)");
    l = launches[1], l.shared_spare = -1;
    broken_launch(l, "a launch has impossible blocks (3)");
    broken_maps();
    for (int d = 0; d < 3; d++) {
        l = launches[3], l.grid[d].per = 0;
        broken_launch(l, "a launch has an impossible grid (3)");
        l = launches[3], l.grid[d].times = 0;
        broken_launch(l, "a launch has an impossible grid (3)");
        l = launches[3], l.grid[d].each = 0;
        broken_launch(l, "a launch has an impossible grid (3)");
        l = launches[3], l.grid[d].each = INT64_MAX;
        broken_launch(l, "a launch has an impossible grid (3)");
        l = launches[3], l.grid[d].of = (AbiCount)4;
        broken_launch(l, "a launch has an impossible grid (3)");
    }
    l = launches[3], l.grid[2].times = 65536;
    broken_launch(l, "a launch has an impossible grid (3)");
}

/* A pass may have more rows than a grid has blocks in its second direction, but not more segments.
 */
Test(cuda, passes_of_many_rows)
{
    AbiProgram abi = program_of(ABI_CUDA);
    AbiEntry many[RT_COUNT(entries)];
    AbiLaunch list[RT_COUNT(launches)];
    ssmc_program *p = NULL;
    memcpy(many, entries, sizeof entries);
    memcpy(list, launches, sizeof launches);
    many[0].block = 1 << 20;
    list[3].grid[1] = (AbiExtent){.of = ABI_SEGMENTS, .times = 1, .each = 1, .per = 1};
    abi.entries = many, abi.launches = list;
    OK(rt_program_wrap(&abi, &p));
    rt_program_free(p);
    list[3].grid[1].of = ABI_TOKENS;
    broken(&abi, "a launch has an impossible grid (3)");
}
