/* tests/unit/test_underflow.c -- whole models whose decays underflow f32, or whose A is minus
 * infinity: every form, any number of threads, whatever mode of arithmetic the caller is in. */
#include <criterion/criterion.h>
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/float_mode.h"
#include "tests/aot.h"
#include "tests/model_run.h"

enum { HEADS = 8, TOKENS = 300 };

#define SMALL SSMC_ROOT "/tests/goldens/mamba2-base"

/* ---- checkpoints ----------------------------------------------------------------------------- */

static bool
ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Data of a tensor in the checkpoint: softplus of this dt_bias is 1; and where a token's embedding
 * is 0 and there is no other bias, neither x nor B nor C is anything but 0. owns. */
static float *
other_data(const RtTensor *t, const float A_log[HEADS])
{
    float *data = malloc(t->bytes);
    cr_assert(data);
    memcpy(data, t->data, t->bytes);
    const bool rate = ends_with(t->name, ".A_log"), step = ends_with(t->name, ".dt_bias");
    for (size_t h = 0; h < HEADS && (rate || step); h++)
        data[h] = rate ? A_log[h] : 0.5413f;
    if (ends_with(t->name, ".conv1d.bias"))
        memset(data, 0, t->bytes);
    if (ends_with(t->name, "embeddings.weight"))
        memset(data, 0, t->bytes / (size_t)t->dim[0]); /* of id 0 */
    return data;
}

/* The small model with other rates of decay. */
static char *
checkpoint(const float A_log[HEADS])
{
    char *dir = temp_dir(), *config = path_join(dir, "config.json");
    char *path = path_join(dir, "model.safetensors");
    size_t length = 0;
    char *text = read_whole(SMALL "/config.json", &length);
    cr_assert(text && write_whole(config, text, length));
    RtTensorFile *from = NULL;
    cr_assert_eq(rt_tensors_open(SMALL "/model.safetensors", &from), SSMC_OK, "%s", ssmc_error());
    const int count = rt_tensors_count(from);
    RtTensor *tensors = calloc((size_t)count, sizeof *tensors);
    float **data = calloc((size_t)count, sizeof *data);
    for (int i = 0; i < count; i++) {
        tensors[i] = *rt_tensors_at(from, i);
        tensors[i].data = data[i] = other_data(&tensors[i], A_log);
    }
    cr_assert_eq(rt_tensors_write(path, tensors, count), SSMC_OK, "%s", ssmc_error());
    rt_tensors_close(from);
    for (int i = 0; i < count; i++)
        free(data[i]);
    free(data);
    free(tensors);
    free(text);
    free(config);
    free(path);
    return dir;
}

static char *
checkpoint_of(float A_log)
{
    float all[HEADS];
    for (int h = 0; h < HEADS; h++)
        all[h] = A_log;
    return checkpoint(all);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static const char *const forms[][2] = {
    {"recurrent", "auto"},
    {"chunked",   "1"   },
    {"chunked",   "37"  },
    {"chunked",   "64"  },
    {"chunked",   "256" },
    {"quadratic", "auto"},
};
enum { FORMS = sizeof forms / sizeof forms[0] };

/* Logits [TOKENS,vocab] of some ids, read as a prompt, the last ten token by token; owned by the
 * caller. */
static float *
logits_of(const ModelRun *run, int threads, size_t *count)
{
    const int64_t vocab = ssmc_model_vocab(model_run_model(run));
    int32_t ids[TOKENS];
    model_run_ids(run, 1, ids, TOKENS);
    float *logits = calloc((size_t)(TOKENS * vocab), sizeof *logits);
    ssmc_session *s = model_run_session(run, 1, threads);
    cr_assert_eq(ssmc_prefill_all(s, 0, ids, TOKENS - 10, logits), SSMC_OK);
    for (int t = TOKENS - 10; t < TOKENS; t++)
        cr_assert_eq(ssmc_step(s, &(int){0}, ids + t, 1, logits + t * vocab), SSMC_OK);
    ssmc_session_close(s);
    *count = (size_t)(TOKENS * vocab);
    return logits;
}

/* The greatest difference; infinity where a number is not finite. */
static double
difference(const float *a, const float *b, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = isfinite(a[i]) && isfinite(b[i]) ? fmax(most, fabs((double)a[i] - b[i])) : HUGE_VAL;
    return most;
}

/* ---- A of minus infinity --------------------------------------------------------------------- */

/* Heads that forget at once have the same logits, however far beyond every f32 their A is: with dt
 * near 1 those of A = -exp(40) do so, too. */
Test(underflow, A_of_minus_infinity_forgets_at_once_in_every_form)
{
    static const float far[HEADS] = {80, 88.8f, 89, 100, 1000, INFINITY, 88.7f, FLT_MAX};
    char *dir = checkpoint(far), *near = checkpoint_of(40);
    size_t count = 0;
    ModelRun *run = MODEL_RUN(near, "--form", "recurrent");
    float *want = logits_of(run, 1, &count);
    model_run_close(run);
    for (int i = 0; i < FORMS; i++) {
        run = MODEL_RUN(dir, "--form", forms[i][0], "--chunk", forms[i][1]);
        float *got = logits_of(run, 2, &count);
        const double off = difference(got, want, count);
        cr_expect_leq(off, 5e-4, "%s %s: off by %g", forms[i][0], forms[i][1], off);
        model_run_close(run);
        free(got);
    }
    CommandResult each = aot_ssmc(ARGS("logits", dir, "--ids", AOT_IDS, "--out", "/dev/null",
                                       "--form", "chunked", "--chunk", "16", "--check-each"));
    cr_expect_eq(each.status, 0, "%s", each.err);
    command_free(&each);
    free(want);
    temp_dir_remove(dir);
    temp_dir_remove(near);
}

/* ---- decays that are denormal ---------------------------------------------------------------- */

/* Ends with four tokens of id 0: the convolution sees nothing else at the last, so that the state
 * is what it was at the third, of about 0.1, times exp(-90): 1e-40, which is denormal. */
static void
expect_forgotten(const ModelRun *run, bool stepped, const char *form)
{
    int32_t ids[TOKENS];
    model_run_ids(run, 2, ids, TOKENS);
    memset(ids + TOKENS - 4, 0, 4 * sizeof *ids);
    ssmc_session *s = model_run_session(run, 1, 2);
    cr_assert_eq(ssmc_prefill(s, 0, ids, TOKENS - stepped, NULL), SSMC_OK);
    if (stepped)
        cr_assert_eq(ssmc_step(s, &(int){0}, ids + TOKENS - 1, 1, NULL), SSMC_OK);
    int64_t count = 0, others = 0;
    const float *state = rt_session_state(s, 0, "layers.0.ssm", &count);
    cr_assert(state && count > 0);
    for (int64_t j = 0; j < count; j++)
        others += state[j] != 0;
    cr_expect_eq(others, 0, "%s: %d of %d numbers are not 0", form, (int)others, (int)count);
    ssmc_session_close(s);
}

Test(underflow, denormal_decays_are_0_and_threads_change_no_bit)
{
    char *dir = checkpoint_of(logf(90));
    for (int i = 0; i < FORMS; i++) {
        ModelRun *run = MODEL_RUN(dir, "--form", forms[i][0], "--chunk", forms[i][1]);
        size_t count = 0;
        float *one = logits_of(run, 1, &count);
        for (int threads = 2; threads <= 3; threads++) {
            float *more = logits_of(run, threads, &count);
            cr_expect_eq(memcmp(one, more, count * sizeof *one), 0, "%s %s: %d threads",
                         forms[i][0], forms[i][1], threads);
            free(more);
        }
        expect_forgotten(run, false, forms[i][0]);
        expect_forgotten(run, true, forms[i][0]);
        model_run_close(run);
        free(one);
    }
    temp_dir_remove(dir);
}

/* ---- the caller's mode ----------------------------------------------------------------------- */

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

typedef struct {
    RtFloatMode mode;
    int calls;
} ModeWatch;

static void
watch(void *user, int64_t done, int64_t total)
{
    ModeWatch *w = user;
    (void)done, (void)total;
    w->calls++;
    cr_expect_eq(mode(), w->mode, "a call back");
}

/* A call has the status it must have, and left the mode alone. */
static void
expect_kept(const ModeWatch *w, const char *call, ssmc_status got, ssmc_status want)
{
    cr_expect_eq(got, want, "%s", call);
    cr_expect_eq(mode(), w->mode, "%s", call);
}
#define KEEPS(call, status) expect_kept(&w, #call, call, status)

/* Opens the model, feeds it and makes it refuse, in a mode of the caller's; its logits after. */
static void
run_in_mode(const ModelRun *run, int i, float *logits)
{
    static const int rounding[] = {FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO, FE_DOWNWARD};
    const RtFloatMode preset = rt_float_mode();
    int32_t ids[TOKENS];
    model_run_ids(run, 1, ids, TOKENS);
    if (i % 2)
        rt_float_mode_kernels(); /* a caller that flushes denormals itself */
    fesetround(rounding[i]);
    ModeWatch w = {.mode = mode()};
    ssmc_model *model = NULL;
    ssmc_session *s = NULL;
    KEEPS(ssmc_model_open(model_run_program(run), model_run_weights(run), 2, watch, &w, &model),
          SSMC_OK);
    KEEPS(ssmc_session_open(model, 2, 2, &s), SSMC_OK);
    ssmc_session_on_progress(s, watch, &w);
    KEEPS(ssmc_prefill(s, 0, ids, TOKENS, logits), SSMC_OK);
    KEEPS(ssmc_prefill(s, 0, &(int32_t){-1}, 1, logits), SSMC_BAD_ARGUMENT);
    KEEPS(ssmc_prefill(s, 1, ids, 0, logits), SSMC_BAD_ARGUMENT);
    KEEPS(ssmc_step(s, (int[]){0, 0}, ids, 2, NULL), SSMC_BAD_ARGUMENT);
    KEEPS(ssmc_step(s, (int[]){1, 0}, ids, 2, NULL), SSMC_OK);
    KEEPS(ssmc_step(s, &(int){0}, ids, 1, logits), SSMC_OK);
    ssmc_session_close(s);
    ssmc_model_close(model);
    cr_expect_eq(mode(), w.mode);
    fesetround(FE_TONEAREST);
    rt_float_mode_set(preset);
    cr_expect_gt(w.calls, 1);
}

Test(underflow, callers_keep_their_mode_and_it_changes_no_bit)
{
    char *dir = checkpoint_of(logf(90));
    ModelRun *run = MODEL_RUN(dir);
    const size_t vocab = (size_t)ssmc_model_vocab(model_run_model(run));
    float *first = calloc(vocab, sizeof *first), *other = calloc(vocab, sizeof *other);
    run_in_mode(run, 0, first);
    for (int i = 1; i < 4; i++) {
        run_in_mode(run, i, other);
        cr_expect_eq(memcmp(first, other, vocab * sizeof *first), 0, "case %d", i);
    }
    free(first);
    free(other);
    model_run_close(run);
    temp_dir_remove(dir);
}
