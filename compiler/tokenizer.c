/* compiler/tokenizer.c -- the tokenizer of a model, with what is told where there is none. */
#include <string.h>

#include "compiler/compiler.h"

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
        return tell_runtime_fault(job->settings.listener, rs);
    return tell_fault(job->settings.listener, EXIT_BAD_INPUT,
                      "%s says no tokenizer: give `tokenizer: tokenizer.json`",
                      job->settings.model);
}

static Tokenizer *
of_gguf(Job *job, const char *path)
{
    char *bytes = NULL;
    size_t len = 0;
    int64_t infill[TOK_INFILL_COUNT];
    if (!fe_gguf_tokenizer(job->arena, path, job->diag, &bytes, &len) ||
        !fe_gguf_infill(path, job->diag, infill))
        return NULL;
    Tokenizer *tok = tok_parse(job->arena, bytes, len, path, job->diag);
    if (tok)
        tok_set_infill(tok, infill);
    return tok;
}

int
job_tokenizer(Job *job, Tokenizer **out)
{
    const Listener *listener = job->settings.listener;
    const AbiCompiled *c = job->compiled; /* has the text of its tokenizer inside */
    const char *path = c ? NULL : job->fe.graph->tokenizer_path;
    if (c && !c->tokenizer)
        return tell_fault(listener, EXIT_BAD_INPUT,
                          "%s has no tokenizer inside: its description names none",
                          job->settings.model);
    if (!c && !path)
        return no_tokenizer(job);
    const RtKind kind = path ? rt_kind_of(path) : RT_KIND_other;
    if (path && !rt_kind_may_be_json(kind) && kind != RT_KIND_sentencepiece && kind != RT_KIND_gguf)
        return tell_runtime_fault(listener, rt_kind_fault(path, kind));
    if (c)
        *out = tok_parse(job->arena, c->tokenizer, (size_t)c->tokenizer_bytes,
                         "the tokenizer inside", job->diag);
    else if (kind != RT_KIND_gguf)
        *out = tok_load(job->arena, path, job->diag);
    else
        *out = of_gguf(job, path);
    if (!*out)
        return tell_faults(listener, job->diag);
    if (path)
        tell_notes(listener, job->diag);
    return EXIT_DONE;
}
