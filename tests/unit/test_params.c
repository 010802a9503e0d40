/* tests/unit/test_params.c -- parameters made of weights: of files, whose pages are given back, and
 * of rules, whose data are made for one step or for the model. The program is made by hand. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weights.h"
#include "tests/harness.h"

/* big is only packed: more than the pieces that one step is cut into; table is read later, too. */
enum {
    PANEL = 32,
    ROWS = 5000,
    COLS = 1024,
    V = 64,
    DIM = 16,
    BIG = ROWS * COLS * 4,
    TABLE = V * DIM * 4
};

/* Copies rows, by way of scratch, so that threads that shared it would be found out. Parts are of
 * whole panels, as those of packing are: they do not begin where equal parts of the bytes do. */
static void
copy_rows(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    (void)call;
    const float *from = operand[0]; /* [ROWS,COLS] */
    float *to = operand[1], *scratch = (float *)(void *)share->scratch;
    const int64_t panels = (ROWS + PANEL - 1) / PANEL;
    const int64_t first = panels * share->part / share->parts * PANEL;
    const int64_t end = panels * (share->part + 1) / share->parts * PANEL;
    for (int64_t r = first; r < end && r < ROWS; r++) {
        memcpy(scratch, from + r * COLS, COLS * sizeof *scratch);
        memcpy(to + r * COLS, scratch, COLS * sizeof *scratch);
    }
}

/* By one thread: reads what the step before made, and two weights. */
static void
sum_first(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    const float *made = operand[0], *big = operand[1], *table = operand[2];
    float *sum = operand[3];
    (void)call;
    cr_assert(share->part == 0 && share->parts == 1);
    for (int64_t i = 0; i < TABLE / 4; i++)
        sum[i] = made[i] + 2 * big[i] + 4 * table[i];
}

static void
head(void *const *operand, const AbiCall *call, const AbiShare *share)
{
    const float *table = operand[0];
    float *logits = operand[1];
    for (int64_t v = V * share->part / share->parts; v < V * (share->part + 1) / share->parts; v++)
        for (int64_t r = 0; r < call->picked; r++)
            logits[r * V + v] = table[v * DIM];
}

static const AbiOperand operands[] = {
    {ABI_WEIGHT, 0, 0  },
    {ABI_PARAM,  0, 0  },
    {ABI_PARAM,  0, 0  },
    {ABI_WEIGHT, 0, 0  },
    {ABI_WEIGHT, 1, 0  },
    {ABI_PARAM,  0, BIG},
    {ABI_WEIGHT, 1, 0  },
    {ABI_OUTPUT, 0, 0  },
};
static const AbiStep steps[] = {
    {copy_rows, "copy", 0, 2, .pieces = 1},
    {sum_first, "sum",  2, 4, .pieces = 0},
    {head,      "head", 6, 2, .pieces = 1},
};
static const AbiWeight weights[] = {
    {"big",         "uniform_fan_in", ABI_F32, 2, {ROWS, COLS}},
    {"other|table", "normal_embed",   ABI_F32, 2, {V, DIM}    },
};
static const AbiEntry entry = {
    "all", .block = 1, .rows = 1, .grain = 1, .head = {2, 1}
};
static const AbiOutput output = {"logits", ABI_F32, ABI_PICKED, V, V, 0, 0};
static const AbiProgram program = {
    .name = "params",
    .numerics = "f32",
    .param_bytes = BIG + TABLE,
    .output_bytes = V * 4,
    .init = {0, 2},
    .init_scratch_bytes = COLS * 4,
    .entries = &entry,
    .nentries = 1,
    .outputs = &output,
    .noutputs = 1,
    .steps = steps,
    .operands = operands,
    .weights = weights,
    .nsteps = RT_COUNT(steps),
    .noperands = RT_COUNT(operands),
    .nweights = RT_COUNT(weights),
};

/* The rules know weights by their first names. */
static const AbiWeight rules[] = {
    {"big",   "uniform_fan_in", ABI_F32, 2, {ROWS, COLS}},
    {"table", "normal_embed",   ABI_F32, 2, {V, DIM}    },
};

/* ---- what must come of it ------------------------------------------------------------------- */

static void
expect_params(const ssmc_model *model, const float *big, const float *table)
{
    const float *params = (const float *)(const void *)model->params, *sum = params + BIG / 4;
    cr_expect_eq(memcmp(params, big, BIG), 0);
    for (int i = 0; i < TABLE / 4; i++)
        cr_assert_eq(sum[i], big[i] + 2 * big[i] + 4 * table[i], "%d", i);
}

static void
expect_model(const ssmc_weights *w, int threads, const float *big, const float *table)
{
    ssmc_program *p = NULL;
    ssmc_model *model = NULL;
    ssmc_session *session = NULL;
    float logits[V];
    cr_assert_eq(rt_program_wrap(&program, &p), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(ssmc_model_open(p, w, threads, NULL, NULL, &model), SSMC_OK, "%s", ssmc_error());
    expect_params(model, big, table);
    cr_assert_eq(ssmc_session_open(model, 1, threads, &session), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(ssmc_prefill(session, 0, &(int32_t){0}, 1, logits), SSMC_OK, "%s", ssmc_error());
    for (int v = 0; v < V; v++)
        cr_assert_eq(logits[v], table[v * DIM]);
    ssmc_session_close(session);
    ssmc_model_close(model);
    rt_program_free(p);
}

Test(params, weights_made_late_are_those_made_at_once)
{
    ssmc_weights *at_once = NULL, *late = NULL;
    cr_assert_eq(rt_weights_init(rules, 2, 5, 2, NULL, NULL, &at_once), SSMC_OK);
    cr_assert_eq(rt_weights_describe(rules, 2, 5, &late), SSMC_OK);
    const float *big = rt_weights_find(at_once, "big")->data;
    const float *table = rt_weights_find(at_once, "table")->data;
    cr_expect_null(rt_weights_find(late, "big")->data);
    for (int threads = 1; threads <= 3; threads++) {
        expect_model(at_once, threads, big, table);
        expect_model(late, threads, big, table);
    }
    rt_weights_close(at_once);
    rt_weights_close(late);
}

/* As a file, behind an odd number of bytes if its data shall not be aligned. */
static ssmc_weights *
write_weights(const char *path, const ssmc_weights *made, bool odd)
{
    RtTensor out[] = {
        {.name = "pad", .dtype = "U8", .rank = 1, .dim = {odd}, .data = "x", .bytes = odd},
        *rt_weights_find(made, "big"),
        *rt_weights_find(made, "table"),
    };
    ssmc_weights *w = NULL;
    cr_assert_eq(rt_tensors_write(path, out, 3), SSMC_OK, "%s", ssmc_error());
    cr_assert_eq(rt_weights_open(path, &w), SSMC_OK, "%s", ssmc_error());
    return w;
}

/* Kilobytes of this process that are pages of files. */
static long
file_kib(void)
{
    char line[200];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "RssFile:", 8) == 0)
            kib = strtol(line + 8, NULL, 10);
    if (status)
        fclose(status);
    return kib;
}

/* user: [2] what was there before, and the most after a step since. */
static void
note_file_kib(void *user, int64_t done, int64_t total)
{
    long *kib = user;
    const long now = file_kib() - kib[0];
    (void)done, (void)total;
    kib[1] = now > kib[1] ? now : kib[1];
}

/* Of many threads: what one part reads of another's bytes, which were given back, must not stay. */
Test(params, pages_of_files_are_given_back_step_by_step)
{
    enum { THREADS = 16 };
    char *dir = temp_dir(), *path = path_join(dir, "model.safetensors");
    ssmc_weights *made = NULL;
    ssmc_program *p = NULL;
    ssmc_model *model = NULL;
    cr_assert_eq(rt_weights_init(rules, 2, 6, 2, NULL, NULL, &made), SSMC_OK);
    ssmc_weights *w = write_weights(path, made, 0);
    cr_assert_eq(rt_program_wrap(&program, &p), SSMC_OK, "%s", ssmc_error());
    long kib[2] = {file_kib(), 0};
    cr_assert_eq(ssmc_model_open(p, w, THREADS, note_file_kib, kib, &model), SSMC_OK, "%s",
                 ssmc_error());
    cr_expect_lt(kib[1], BIG / 1024 / 40, "%ld KiB of the file are still there", kib[1]);
    ssmc_model_close(model);
    rt_program_free(p);
    rt_weights_close(w);
    rt_weights_close(made);
    free(path);
    temp_dir_remove(dir);
}

Test(params, pages_of_files_are_given_back_and_copies_stay)
{
    char *dir = temp_dir(), *path = path_join(dir, "model.safetensors");
    ssmc_weights *made = NULL;
    cr_assert_eq(rt_weights_init(rules, 2, 6, 2, NULL, NULL, &made), SSMC_OK);
    const float *big = rt_weights_find(made, "big")->data;
    const float *table = rt_weights_find(made, "table")->data;
    for (int odd = 0; odd <= 1; odd++) {
        ssmc_weights *w = write_weights(path, made, odd);
        const long before = file_kib();
        expect_model(w, 2, big, table);
        cr_expect_lt(file_kib() - before, BIG / 1024 / 2, "the file's pages are still there");
        expect_model(w, 3, big, table); /* and they come back */
        cr_expect_eq(memcmp(rt_weights_find(w, "big")->data, big, BIG), 0);
        rt_weights_close(w);
    }
    rt_weights_close(made);
    free(path);
    temp_dir_remove(dir);
}
