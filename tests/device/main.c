/* tests/device/main.c -- what tests/device.sh asks of models that were compiled elsewhere, on a
 * machine that need not have a compiler: it opens libraries that `ssmc compile --emit so` made.
 *
 *   ssmc_device logits MODEL.so GOLDEN MODE BOUND    logits of all ids_K against logits_K; MODE is
 *                                                    prefill, step or split
 *   ssmc_device compare OURS GOLDEN BOUND            those of a file that `ssmc logits` wrote
 *   ssmc_device greedy MODEL.so GOLDEN               greedy_ids after greedy_prompt
 *   ssmc_device states FROM.so TO.so GOLDEN BOUND    half of each sequence read by one, saved,
 *                                                    loaded and read on by the other
 *   ssmc_device memory MODEL.so TOKENS               memory of the GPU that is said and taken, and
 *                                                    whether so many tokens more take any
 *   ssmc_device room MODEL.so                        a GPU without room refuses it, and has it once
 *                                                    there is some
 *   ssmc_device many MODEL.so SEQUENCES              so many sequences step together: the bits of
 *                                                    each by itself
 *
 * Prints the greatest distance, in units of max(1, standard deviation of the golden). Status 0: it
 * is within the bound; 1: it is not; 2: something failed, which stderr says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cuda/driver.h"
#include "runtime/rt.h"

enum { WITHIN = 0, BEYOND = 1, FAILED = 2 };

#define COUNT_OF(a) (sizeof(a) / sizeof *(a))

static void
fail(const char *what)
{
    fprintf(stderr, "ssmc_device: %s: %s\n", what, ssmc_error());
    exit(FAILED);
}

static void
want(ssmc_status status, const char *what)
{
    if (status != SSMC_OK)
        fail(what);
}

static void *
room_for(size_t count, size_t bytes)
{
    void *at = calloc(count ? count : 1, bytes);
    if (!at) {
        fputs("ssmc_device: no memory\n", stderr);
        exit(FAILED);
    }
    return at;
}

/* ---- goldens -----------------------------------------------------------------------------------
 */

typedef struct {
    int64_t batch, tokens;
    int32_t *ids;           /* [B,T] */
    const RtTensor *logits; /* [B,T,vocab]; NULL: none */
} Sample;

static RtTensorFile *
open_file(const char *path)
{
    RtTensorFile *file = NULL;
    want(rt_tensors_open(path, &file), path);
    return file;
}

/* False: there is no tensor of that name. */
static bool
sample_of(const RtTensorFile *file, const char *ids, const char *logits, Sample *out)
{
    const RtTensor *t = rt_tensors_find(file, ids);
    if (!t)
        return false;
    if (strcmp(t->dtype, "I64") != 0 || t->rank != 2) {
        fprintf(stderr, "ssmc_device: %s is no int64 [B,T]\n", ids);
        exit(FAILED);
    }
    *out = (Sample){.batch = t->dim[0], .tokens = t->dim[1]};
    out->ids = room_for(t->bytes / sizeof(int64_t), sizeof *out->ids);
    for (size_t i = 0; i < t->bytes / sizeof(int64_t); i++) {
        int64_t id = 0;
        memcpy(&id, (const char *)t->data + i * sizeof id, sizeof id);
        out->ids[i] = (int32_t)id;
    }
    out->logits = logits ? rt_tensors_find(file, logits) : NULL;
    return true;
}

static float
number(const RtTensor *t, size_t i)
{
    float x = 0;
    memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
    return x;
}

/* How far ours [B,T,vocab] is off, of the last `last` tokens of each sequence. */
static double
distance(const float *ours, const RtTensor *golden, int64_t last)
{
    const size_t n = golden->bytes / sizeof(float);
    const size_t tokens = (size_t)golden->dim[1], vocab = (size_t)golden->dim[2];
    double sum = 0, squares = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        const double b = number(golden, i);
        sum += b;
        squares += b * b;
        if (i / vocab % tokens + (size_t)last >= tokens)
            most = isfinite(ours[i]) ? fmax(most, fabs(ours[i] - b)) : HUGE_VAL;
    }
    const double mean = sum / (double)n;
    return most / fmax(1, sqrt(squares / (double)n - mean * mean));
}

static int
judge(double off, double bound)
{
    printf("%.3g\n", off);
    return off <= bound ? WITHIN : BEYOND;
}

/* ---- models ------------------------------------------------------------------------------------
 */

typedef struct {
    ssmc_library *library;
    ssmc_model *model;
    int64_t vocab;
} Model;

static Model
model_open(const char *path)
{
    Model m = {0};
    want(ssmc_library_open(path, &m.library), path);
    want(ssmc_compiled_open(ssmc_library_compiled(m.library), NULL, &m.model), path);
    m.vocab = ssmc_model_vocab(m.model);
    return m;
}

static void
model_close(Model *m)
{
    ssmc_model_close(m->model);
    ssmc_library_close(m->library);
}

static ssmc_session *
session_of(const Model *m, int64_t sequences)
{
    ssmc_session *s = NULL;
    want(ssmc_session_open_for(m->model, (int)sequences, 0, 2048, &s), "a session");
    return s;
}

/* Token by token, all sequences together. */
static void
step(ssmc_session *session, const Sample *s, int64_t vocab, float *logits)
{
    const int batch = (int)s->batch;
    int *seqs = room_for((size_t)batch, sizeof *seqs);
    int32_t *ids = room_for((size_t)batch, sizeof *ids);
    float *out = room_for((size_t)(batch * vocab), sizeof *out);
    for (int64_t t = 0; t < s->tokens; t++) {
        for (int b = 0; b < batch; b++) {
            seqs[b] = b;
            ids[b] = s->ids[b * s->tokens + t];
        }
        want(ssmc_step(session, seqs, ids, batch, out), "a step");
        for (int b = 0; b < batch; b++)
            memcpy(logits + (b * s->tokens + t) * vocab, out + b * vocab,
                   (size_t)vocab * sizeof *out);
    }
    free(seqs);
    free(ids);
    free(out);
}

/* In pieces of odd lengths, or as a whole. */
static void
feed(ssmc_session *session, const Sample *s, int64_t vocab, bool split, float *logits)
{
    static const int64_t lengths[] = {1, 3, 2, 17, 7, 64, 5, 33, 129};
    for (int64_t b = 0; b < s->batch; b++) {
        size_t piece = 0;
        for (int64_t at = 0; at < s->tokens; piece++) {
            const int64_t left = s->tokens - at, wanted = lengths[piece % COUNT_OF(lengths)];
            const int64_t n = split && wanted < left ? wanted : left, first = b * s->tokens + at;
            want(ssmc_prefill_all(session, (int)b, s->ids + first, n, logits + first * vocab),
                 "a prompt");
            at += n;
        }
    }
}

static int
logits_of(const char *model, const char *golden, const char *mode, double bound)
{
    Model m = model_open(model);
    RtTensorFile *file = open_file(golden);
    double worst = 0;
    for (int k = 0;; k++) {
        char ids[32], logits[32];
        Sample s;
        snprintf(ids, sizeof ids, "ids_%d", k);
        snprintf(logits, sizeof logits, "logits_%d", k);
        if (!sample_of(file, ids, logits, &s) || !s.logits)
            break;
        float *ours = room_for((size_t)(s.batch * s.tokens * m.vocab), sizeof *ours);
        ssmc_session *session = session_of(&m, s.batch);
        if (strcmp(mode, "step") == 0)
            step(session, &s, m.vocab, ours);
        else
            feed(session, &s, m.vocab, strcmp(mode, "split") == 0, ours);
        worst = fmax(worst, distance(ours, s.logits, s.tokens));
        ssmc_session_close(session);
        free(ours);
        free(s.ids);
    }
    rt_tensors_close(file);
    model_close(&m);
    return judge(worst, bound);
}

static int
compare(const char *path, const char *golden, double bound)
{
    RtTensorFile *have = open_file(path), *file = open_file(golden);
    double worst = 0;
    int compared = 0;
    for (int i = 0; i < rt_tensors_count(file); i++) {
        const RtTensor *b = rt_tensors_at(file, i);
        if (strncmp(b->name, "logits_", strlen("logits_")) != 0)
            continue;
        const RtTensor *a = rt_tensors_find(have, b->name);
        if (!a || a->bytes != b->bytes) {
            fprintf(stderr, "ssmc_device: %s has no %s of that size\n", path, b->name);
            return FAILED;
        }
        float *ours = room_for(a->bytes / sizeof *ours, sizeof *ours);
        memcpy(ours, a->data, a->bytes);
        worst = fmax(worst, distance(ours, b, b->dim[1]));
        free(ours);
        compared++;
    }
    rt_tensors_close(have);
    rt_tensors_close(file);
    return compared ? judge(worst, bound) : FAILED;
}

/* Prints how many ids are as they should be. */
static int
greedy(const char *model, const char *golden)
{
    Model m = model_open(model);
    RtTensorFile *file = open_file(golden);
    Sample prompt, ids;
    if (!sample_of(file, "greedy_prompt", NULL, &prompt) ||
        !sample_of(file, "greedy_ids", NULL, &ids)) {
        fprintf(stderr, "ssmc_device: %s has no greedy ids\n", golden);
        return FAILED;
    }
    ssmc_session *session = session_of(&m, 1);
    ssmc_sampler *sampler = NULL;
    const ssmc_sampling first = {0};
    want(ssmc_sampler_open(&first, m.vocab, &sampler), "a sampler");
    float *logits = room_for((size_t)m.vocab, sizeof *logits);
    const int32_t *next = prompt.ids;
    int64_t same = 0;
    for (int64_t n = prompt.tokens; same < ids.tokens; n = 1) {
        want(ssmc_prefill(session, 0, next, n, logits), "a prompt");
        if (ssmc_sample(sampler, logits) != ids.ids[same])
            break;
        next = &ids.ids[same++];
    }
    printf("%lld/%lld\n", (long long)same, (long long)ids.tokens);
    const int status = same == ids.tokens ? WITHIN : BEYOND;
    free(logits);
    ssmc_sampler_close(sampler);
    ssmc_session_close(session);
    free(prompt.ids);
    free(ids.ids);
    rt_tensors_close(file);
    model_close(&m);
    return status;
}

static int32_t
some_id(int64_t sequence, int64_t at, int64_t vocab)
{
    return (int32_t)((sequence * 131 + at * 17 + 1) % vocab);
}

enum { MANY_TOKENS = 3 };

/* Sequences first .. first + count - 1 together: out [MANY_TOKENS][count][vocab]. */
static void
step_some(const Model *m, int first, int count, float *out)
{
    ssmc_session *session = session_of(m, count);
    int *seqs = room_for((size_t)count, sizeof *seqs);
    int32_t *ids = room_for((size_t)count, sizeof *ids);
    for (int64_t t = 0; t < MANY_TOKENS; t++) {
        for (int b = 0; b < count; b++) {
            seqs[b] = b;
            ids[b] = some_id(first + b, t, m->vocab);
        }
        want(ssmc_step(session, seqs, ids, count, out + t * count * m->vocab), "a step");
    }
    free(seqs);
    free(ids);
    ssmc_session_close(session);
}

static int
many(const char *model, int sequences)
{
    Model m = model_open(model);
    const size_t row = (size_t)m.vocab;
    float *all = room_for(MANY_TOKENS * (size_t)sequences * row, sizeof *all);
    float *one = room_for(MANY_TOKENS * row, sizeof *one);
    int64_t other = 0;
    step_some(&m, 0, sequences, all);
    for (int b = 0; b < sequences; b++) {
        step_some(&m, b, 1, one);
        for (size_t t = 0; t < MANY_TOKENS; t++) {
            const float *x = all + (t * (size_t)sequences + (size_t)b) * row, *y = one + t * row;
            for (size_t i = 0; i < row; i++)
                other += memcmp(x + i, y + i, sizeof *x) != 0 || !isfinite(y[i]);
        }
    }
    printf("%lld of %d differ\n", (long long)other, (int)(MANY_TOKENS * sequences * m.vocab));
    free(all);
    free(one);
    model_close(&m);
    return other == 0 ? WITHIN : BEYOND;
}

/* The longest sample: half of it by one model, the rest by the other. */
static int
states(const char *from, const char *to, const char *golden, double bound)
{
    Model one = model_open(from), other = model_open(to);
    RtTensorFile *file = open_file(golden);
    Sample s;
    char path[] = "/tmp/ssmc-state-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0 || !sample_of(file, "ids_2", "logits_2", &s) || !s.logits) {
        fprintf(stderr, "ssmc_device: no %s, or no ids_2 in %s\n", path, golden);
        return FAILED;
    }
    close(fd);
    const int64_t half = s.tokens / 2, vocab = one.vocab;
    float *ours = room_for((size_t)(s.batch * s.tokens * vocab), sizeof *ours);
    for (int64_t b = 0; b < s.batch; b++) {
        const int32_t *ids = s.ids + b * s.tokens;
        ssmc_session *reads = session_of(&one, 1), *goes_on = session_of(&other, 1);
        want(ssmc_prefill(reads, 0, ids, half, NULL), "a prompt");
        want(ssmc_state_save(reads, 0, path, NULL, 0), "a saved state");
        want(ssmc_state_load(goes_on, 0, path, NULL, NULL), "a loaded state");
        want(ssmc_prefill_all(goes_on, 0, ids + half, s.tokens - half,
                              ours + (b * s.tokens + half) * vocab),
             "a prompt");
        ssmc_session_close(reads);
        ssmc_session_close(goes_on);
    }
    unlink(path);
    const double off = distance(ours, s.logits, s.tokens - half);
    free(ours);
    free(s.ids);
    rt_tensors_close(file);
    model_close(&one);
    model_close(&other);
    return judge(off, bound);
}

/* ---- memory of a GPU ---------------------------------------------------------------------------
 */

static const CudaDriver *cuda;

static void
want_cuda(CudaResult result, const char *what)
{
    if (result != CUDA_OK) {
        cuda_fault(cuda, result, what);
        fail(what);
    }
}

/* From here on this thread has the context of the first GPU, which models are opened in: what it
 * takes itself is taken. */
static void
open_context(void)
{
    CudaDevice device = 0;
    CudaContext context = NULL;
    want(cuda_driver(&cuda), "memory of a GPU");
    want_cuda(cuda->DeviceGet(&device, 0), "a GPU");
    want_cuda(cuda->ContextRetain(&context, device), "its context");
    want_cuda(cuda->ContextPush(context), "its context");
}

static int64_t
free_bytes(void)
{
    size_t available = 0, total = 0;
    want_cuda(cuda->MemInfo(&available, &total), "its memory");
    return (int64_t)available;
}

/* Greedily, by one sequence. */
static void
decode(ssmc_session *session, ssmc_turn *turn, int64_t tokens)
{
    for (int64_t i = 0; i < tokens; i++)
        want(ssmc_draw(session, turn, 1), "a step");
}

/* Code and what a driver keeps beside it are not ours to say: they may be so much. */
static int
memory(const char *path, int64_t tokens)
{
    enum { MIB = 1 << 20, BESIDE = 64 * MIB, FIRST = 100 };
    ssmc_memory said;
    ssmc_library *library = NULL;
    want(ssmc_library_open(path, &library), path);
    want(ssmc_compiled_memory(ssmc_library_compiled(library), NULL, 1, 1, &said), path);
    ssmc_library_close(library);
    open_context();
    const int64_t before = free_bytes();
    Model m = model_open(path);
    ssmc_session *session = NULL;
    const ssmc_sampling greedy = {0};
    ssmc_turn turn = {.ids = &turn.id, .count = 1};
    want(ssmc_session_open_for(m.model, 1, 1, FIRST + tokens, &session), "a session");
    want(ssmc_sampler_open(&greedy, m.vocab, &turn.sampler), "a sampler");
    const int64_t taken = before - free_bytes();
    decode(session, &turn, FIRST);
    const int64_t then = free_bytes();
    decode(session, &turn, tokens);
    const int64_t more = then - free_bytes(), says = (int64_t)said.device;
    ssmc_sampler_close(turn.sampler);
    ssmc_session_close(session);
    model_close(&m);
    const int64_t kept = before - free_bytes();
    printf("%.1f MiB said, %.1f taken, %.1f more after %lld tokens, %.1f left\n",
           (double)says / MIB, (double)taken / MIB, (double)more / MIB, (long long)tokens,
           (double)kept / MIB);
    return says > 0 && taken <= says + BESIDE && more <= 0 && kept <= BESIDE ? WITHIN : BEYOND;
}

static int
room(const char *path)
{
    enum { MOST = 256, LEAST = 1 << 16 };
    static CudaAddress taken[MOST];
    int count = 0;
    ssmc_library *library = NULL;
    ssmc_model *model = NULL;
    open_context();
    want(ssmc_library_open(path, &library), path);
    for (size_t bytes = (size_t)free_bytes(); bytes >= LEAST && count < MOST;)
        if (cuda->MemAlloc(&taken[count], bytes) == CUDA_OK)
            count++;
        else
            bytes /= 2;
    const ssmc_status refused = ssmc_compiled_open(ssmc_library_compiled(library), NULL, &model);
    printf("%s\n", refused == SSMC_OK ? "opened where there is no memory" : ssmc_error());
    ssmc_model_close(model);
    while (count > 0)
        cuda->MemFree(taken[--count]);
    want(ssmc_compiled_open(ssmc_library_compiled(library), NULL, &model), path);
    ssmc_model_close(model);
    ssmc_library_close(library);
    return refused == SSMC_NO_MEMORY ? WITHIN : BEYOND;
}

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "logits") == 0 && argc == 6)
        return logits_of(argv[2], argv[3], argv[4], strtod(argv[5], NULL));
    if (strcmp(what, "compare") == 0 && argc == 5)
        return compare(argv[2], argv[3], strtod(argv[4], NULL));
    if (strcmp(what, "greedy") == 0 && argc == 4)
        return greedy(argv[2], argv[3]);
    if (strcmp(what, "states") == 0 && argc == 6)
        return states(argv[2], argv[3], argv[4], strtod(argv[5], NULL));
    if (strcmp(what, "memory") == 0 && argc == 4)
        return memory(argv[2], strtoll(argv[3], NULL, 10));
    if (strcmp(what, "room") == 0 && argc == 3)
        return room(argv[2]);
    if (strcmp(what, "many") == 0 && argc == 4)
        return many(argv[2], (int)strtol(argv[3], NULL, 10));
    fputs("usage: ssmc_device logits MODEL.so GOLDEN MODE BOUND | compare OURS GOLDEN BOUND |\n"
          "       greedy MODEL.so GOLDEN | states FROM.so TO.so GOLDEN BOUND |\n"
          "       memory MODEL.so TOKENS | room MODEL.so | many MODEL.so SEQUENCES\n",
          stderr);
    return FAILED;
}
