/* driver/text.c -- the model's tokenizer, and texts to ids with the messages users see. */
#include <string.h>

#include "driver/driver.h"

/* A compiled model has the text of its tokenizer inside. */
static int
inside_tokenizer(Job *job, Tokenizer **out)
{
    const AbiCompiled *c = job->compiled;
    if (!c->tokenizer)
        return fault(EXIT_BAD_INPUT, "%s has no tokenizer inside: its description names none",
                     job->o->model);
    *out = tok_parse(job->arena, c->tokenizer, (size_t)c->tokenizer_bytes, "the tokenizer inside",
                     job->diag);
    return *out ? EXIT_DONE : diag_fault(job->diag);
}

/* Weights that cannot be opened say more of a checkpoint than the tokenizer that it lacks too. */
static int
no_tokenizer(const Job *job)
{
    const char *weights = job->fe.graph->weights_path;
    ssmc_weights *opened = NULL;
    const bool made = !weights || strncmp(weights, "init:", 5) == 0;
    const ssmc_status rs = made ? SSMC_OK : rt_weights_open(weights, &opened);
    rt_weights_close(opened);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    return fault(EXIT_BAD_INPUT, "%s says no tokenizer: give `tokenizer: tokenizer.json`",
                 job->o->model);
}

int
job_tokenizer(Job *job, Tokenizer **out)
{
    if (job->compiled)
        return inside_tokenizer(job, out);
    const char *path = job->fe.graph->tokenizer_path;
    if (!path)
        return no_tokenizer(job);
    const RtKind kind = rt_kind_of(path);
    if (!rt_kind_may_be_json(kind))
        return runtime_fault(rt_kind_fault(path, kind));
    *out = tok_load(job->o->arena, path, job->diag);
    if (!*out)
        return diag_fault(job->diag);
    notes_say(job->diag);
    return EXIT_DONE;
}

int
encode_text(const Tokenizer *tok, const char *what, const char *text, size_t len, int32_t **ids,
            size_t *count)
{
    size_t bad = 0;
    if (tok_encode(tok, text, len, ids, count, &bad))
        return EXIT_DONE;
    if (bad == len)
        return fault(EXIT_FAILED, "the splitting expression of the tokenizer gave up on %s", what);
    return fault(EXIT_BAD_INPUT,
                 "%s is not UTF-8: byte %zu is 0x%02x, which no character has there", what, bad,
                 (unsigned char)text[bad]);
}
