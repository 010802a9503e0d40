/* driver/cmd_logits.c -- ssmc logits: ids_K (int64 [B,T]) in, logits_K (float32 [B,T,vocab]) out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"

/* One ids_K and what becomes of it. */
typedef struct {
    const RtTensor *tensor;
    int64_t batch, tokens, vocab;
    int32_t *ids;  /* [B,T] */
    float *logits; /* [B,T,vocab] */
} Sample;

static int64_t
read_id(const RtTensor *t, int64_t i)
{
    int64_t wide = 0;
    int32_t narrow = 0;
    if (strcmp(t->dtype, "I64") == 0) {
        memcpy(&wide, (const char *)t->data + i * 8, 8);
        return wide;
    }
    memcpy(&narrow, (const char *)t->data + i * 4, 4);
    return narrow;
}

static int
sample_read(Sample *s, Arena *arena, const RtTensor *t, int64_t vocab)
{
    const bool typed = strcmp(t->dtype, "I64") == 0 || strcmp(t->dtype, "I32") == 0;
    if (!typed || t->rank != 2)
        return fault(EXIT_BAD_INPUT, "%s is %s of rank %d; ids are I64 (or I32) of rank 2, [B,T]",
                     t->name, t->dtype, t->rank);
    *s = (Sample){.tensor = t, .batch = t->dim[0], .tokens = t->dim[1], .vocab = vocab};
    int64_t count = 0, total = 0;
    const bool fits = size_mul(s->batch, s->tokens, &count) && size_mul(count, vocab, &total) &&
                      size_mul(total, (int64_t)sizeof(float), &total) && s->batch <= 1 << 16;
    if (count == 0)
        return fault(EXIT_BAD_INPUT, "%s has no ids: its shape is [%lld,%lld]", t->name,
                     (long long)s->batch, (long long)s->tokens);
    if (!fits)
        return fault(EXIT_BAD_INPUT, "%s [%lld,%lld] is too large for logits of %lld words",
                     t->name, (long long)s->batch, (long long)s->tokens, (long long)vocab);
    s->ids = arena_array(arena, (size_t)count, sizeof *s->ids);
    for (int64_t i = 0; i < count; i++) {
        const int64_t id = read_id(t, i);
        if (id < 0 || id >= vocab)
            return fault(EXIT_BAD_INPUT, "%s[%lld,%lld] is %lld; ids are 0 to %lld", t->name,
                         (long long)(i / s->tokens), (long long)(i % s->tokens), (long long)id,
                         (long long)vocab - 1);
        s->ids[i] = (int32_t)id;
    }
    s->logits = malloc((size_t)total);
    return s->logits ? EXIT_DONE : fault(EXIT_FAILED, "no memory for the logits of %s", t->name);
}

/* MODE_SPLIT: in pieces of odd lengths, so that cuts fall inside chunks, at T=1 and past several.
 */
static ssmc_status
feed(ssmc_session *session, const Sample *s, int seq, Mode mode)
{
    const int32_t *ids = s->ids + (int64_t)seq * s->tokens;
    float *logits = s->logits + (int64_t)seq * s->tokens * s->vocab;
    static const int64_t lengths[] = {1, 3, 2, 17, 7, 64, 5, 33, 129};
    ssmc_status rs = SSMC_OK;
    size_t piece = 0;
    for (int64_t at = 0; at < s->tokens && rs == SSMC_OK; piece++) {
        const int64_t left = s->tokens - at;
        const int64_t want = mode == MODE_SPLIT ? lengths[piece % COUNT_OF(lengths)] : left;
        const int64_t n = want < left ? want : left;
        rs = ssmc_prefill_all(session, seq, ids + at, n, logits + at * s->vocab);
        at += n;
    }
    return rs;
}

/* Token by token, all sequences of the batch together. */
static ssmc_status
step_through(ssmc_session *session, const Sample *s, Arena *arena)
{
    const int batch = (int)s->batch;
    int *seqs = arena_array(arena, (size_t)batch, sizeof *seqs);
    int32_t *ids = arena_array(arena, (size_t)batch, sizeof *ids);
    float *out = arena_array(arena, (size_t)batch * (size_t)s->vocab, sizeof *out);
    ssmc_status rs = SSMC_OK;
    for (int64_t t = 0; t < s->tokens && rs == SSMC_OK; t++) {
        for (int b = 0; b < batch; b++) {
            seqs[b] = b;
            ids[b] = s->ids[b * s->tokens + t];
        }
        rs = ssmc_step(session, seqs, ids, batch, out);
        for (int b = 0; b < batch && rs == SSMC_OK; b++)
            memcpy(s->logits + (b * s->tokens + t) * s->vocab, out + b * s->vocab,
                   (size_t)s->vocab * sizeof *out);
    }
    return rs;
}

static int
write_samples(const Options *o, const Sample *samples, int count)
{
    RtTensor *out = arena_array(o->arena, (size_t)count, sizeof *out);
    for (int i = 0; i < count; i++) {
        const Sample *s = &samples[i];
        out[i] = (RtTensor){
            .name = arena_printf(o->arena, "logits_%s", s->tensor->name + 4),
            .dtype = "F32",
            .rank = 3,
            .dim = {s->batch, s->tokens, s->vocab},
            .data = s->logits,
            .bytes = (size_t)(s->batch * s->tokens * s->vocab) * sizeof(float)
        };
    }
    const ssmc_status rs = rt_tensors_write(opt_text(o, OPT_out), out, count);
    return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
}

/* Every ids_K is read and checked before the first is run. */
static int
run_all(const Options *o, const Job *job, const RtTensorFile *file, Mode mode)
{
    const int most = rt_tensors_count(file);
    Sample *samples = arena_array(job->arena, (size_t)most + 1, sizeof *samples);
    int count = 0;
    int64_t context = 0;
    int status = context_from(o, &context);
    for (int i = 0; i < most && status == EXIT_DONE; i++) {
        const RtTensor *t = rt_tensors_at(file, i);
        if (strncmp(t->name, "ids_", 4) == 0)
            status = sample_read(&samples[count++], job->arena, t, ssmc_model_vocab(job->model));
    }
    if (status == EXIT_DONE && count == 0)
        status = fault(EXIT_BAD_INPUT, "%s has no tensor named ids_K", opt_text(o, OPT_ids));
    for (int i = 0; i < count && status == EXIT_DONE; i++) {
        const Sample *s = &samples[i];
        ssmc_session *session = NULL;
        ssmc_status rs =
            ssmc_session_open_for(job->model, (int)s->batch, job->threads, context, &session);
        if (rs == SSMC_OK && mode == MODE_STEP)
            rs = step_through(session, s, job->arena);
        for (int b = 0; b < s->batch && rs == SSMC_OK && mode != MODE_STEP; b++)
            rs = feed(session, s, b, mode);
        ssmc_session_close(session);
        status = rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
    }
    if (status == EXIT_DONE)
        status = write_samples(o, samples, count);
    for (int i = 0; i < count; i++)
        free(samples[i].logits);
    return status;
}

int
cmd_logits(Options *o)
{
    if (!opt_text(o, OPT_ids) || !opt_text(o, OPT_out))
        return option_fault(o, opt_text(o, OPT_ids) ? OPT_out : OPT_ids,
                            "needs both --ids FILE and --out FILE");
    RtTensorFile *file = NULL;
    const ssmc_status rs = rt_tensors_open(opt_text(o, OPT_ids), &file);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    Job job = {0};
    int status = model_describe_any(&job, o);
    if (status == EXIT_DONE)
        status = job_run(&job);
    if (status == EXIT_DONE)
        status = run_all(o, &job, file, (Mode)opt_word(o, OPT_mode));
    rt_tensors_close(file);
    job_end(&job);
    return status;
}
