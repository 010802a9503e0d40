/* driver/cmd_perplexity.c -- ssmc perplexity: mean nats per token over whole windows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "driver/driver.h"

/* -log softmax(logits)[id], in double. */
static double
nats(const float *logits, int64_t vocab, int32_t id)
{
    double most = logits[0], sum = 0;
    for (int64_t v = 1; v < vocab; v++)
        most = fmax(most, logits[v]);
    for (int64_t v = 0; v < vocab; v++)
        sum += exp(logits[v] - most);
    return most + log(sum) - logits[id];
}

typedef struct {
    const int32_t *ids;
    int64_t count, window, context;
    double sum;
    int64_t scored, windows;
} Score;

/* Every window starts from an empty state, and each of its tokens predicts the one after it, the
 * last the first of the next window: `window` tokens are read and scored. */
static int
score_windows(const Job *job, Score *s)
{
    const int64_t vocab = ssmc_model_vocab(job->model);
    ssmc_session *session = NULL;
    int64_t bytes = 0;
    float *logits = NULL; /* [window, vocab] */
    ssmc_status rs = ssmc_session_open_for(job->model, 1, job->threads, s->context, &session);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    if (size_mul(s->window, vocab, &bytes) && size_mul(bytes, (int64_t)sizeof *logits, &bytes))
        logits = malloc((size_t)bytes);
    if (!logits) {
        ssmc_session_close(session);
        return fault(EXIT_FAILED, "no memory for the logits of a window of %lld tokens",
                     (long long)s->window);
    }
    Progress bar = progress_start("scoring");
    for (int64_t at = 0; at + s->window < s->count && rs == SSMC_OK; at += s->window) {
        rs = ssmc_reset(session, 0);
        if (rs == SSMC_OK)
            rs = ssmc_prefill_all(session, 0, s->ids + at, s->window, logits);
        for (int64_t t = 0; t < s->window && rs == SSMC_OK; t++)
            s->sum += nats(logits + t * vocab, vocab, s->ids[at + t + 1]);
        s->scored += s->window;
        s->windows++;
        progress_step(&bar, at, s->count);
    }
    progress_end(&bar);
    free(logits);
    ssmc_session_close(session);
    return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
}

static int
score_text(const Options *o, Job *job, Score *s)
{
    enum { MAX_TEXT = 1 << 30 };
    const char *path = opt_text(o, OPT_text), *why = NULL;
    char *text = NULL;
    size_t len = 0, count = 0;
    int32_t *ids = NULL;
    Tokenizer *tok = NULL;
    if (!file_read(job->arena, path, MAX_TEXT, &text, &len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    int status = job_tokenizer(job, &tok);
    if (status == EXIT_DONE)
        status = encode_text(tok, path, text, len, &ids, &count);
    s->ids = ids;
    s->count = (int64_t)count;
    if (status == EXIT_DONE && s->count <= s->window)
        status = fault(EXIT_BAD_INPUT,
                       "%s has %zu tokens; a window of %lld and the token after it need more", path,
                       count, (long long)s->window);
    if (status == EXIT_DONE)
        status = job_run(job);
    if (status == EXIT_DONE)
        status = score_windows(job, s);
    free(ids);
    tok_free(tok);
    return status;
}

int
cmd_perplexity(Options *o)
{
    Score s = {.window = o->value[OPT_window].i};
    if (!opt_text(o, OPT_text))
        return option_fault(o, OPT_text, "which text? give --text FILE");
    if (s.window < 1 || s.window > 1 << 20)
        return option_fault(o, OPT_window, "--window %lld is out of range: it must be 1 to %d",
                            (long long)s.window, 1 << 20);
    Job job = {0};
    int status = context_from(o, &s.context);
    if (status == EXIT_DONE)
        status = model_describe_any(&job, o);
    if (status == EXIT_DONE)
        status = score_text(o, &job, &s);
    if (status == EXIT_DONE) {
        const double mean = s.sum / (double)s.scored;
        printf("tokens %lld\nwindows %lld\nnats_per_token %.6f\nperplexity %.4f\n",
               (long long)s.count, (long long)s.windows, mean, exp(mean));
    }
    job_end(&job);
    return status;
}
