/* tests/data/install/story.c -- goes on greedily from the ids that are its arguments, and prints
 * the ids of both: by a model that it is linked with (MODEL_H, MODEL_COMPILED), or by a compiled
 * library, its first argument, on the installed libssmc. */
#include <stdio.h>
#include <stdlib.h>

#ifdef MODEL_H
#include MODEL_H
#else
#include <ssmc.h>
#endif

enum { MOST = 64, MADE = 16 };

static int
fail(void)
{
    fprintf(stderr, "story: %s\n", ssmc_error());
    return 1;
}

static int
go_on(const ssmc_model *model, int32_t *ids, int n)
{
    const int seq = 0;
    ssmc_session *session = NULL;
    ssmc_sampler *sampler = NULL;
    const ssmc_sampling greedy = {0};
    float *logits = malloc((size_t)ssmc_model_vocab(model) * sizeof *logits);
    if (ssmc_session_open(model, 1, 1, &session) != SSMC_OK ||
        ssmc_sampler_open(&greedy, ssmc_model_vocab(model), &sampler) != SSMC_OK ||
        ssmc_prefill(session, 0, ids, n, logits) != SSMC_OK)
        return fail();
    for (int i = 0; i < MADE; i++) {
        ids[n] = ssmc_sample(sampler, logits);
        if (ssmc_step(session, &seq, &ids[n++], 1, logits) != SSMC_OK)
            return fail();
    }
    for (int i = 0; i < n; i++)
        printf("%d%c", (int)ids[i], i + 1 < n ? ' ' : '\n');
    ssmc_sampler_close(sampler);
    ssmc_session_close(session);
    free(logits);
    return 0;
}

int
main(int argc, char **argv)
{
    int32_t ids[MOST + MADE];
    int n = 0;
    ssmc_model *model = NULL;
#ifdef MODEL_H
    const int first = 1;
    const ssmc_compiled *compiled = MODEL_COMPILED();
#else
    const int first = 2;
    ssmc_library *library = NULL;
    if (ssmc_library_open(argc > 1 ? argv[1] : "", &library) != SSMC_OK)
        return fail();
    const ssmc_compiled *compiled = ssmc_library_compiled(library);
#endif
    for (int i = first; i < argc && n < MOST; i++)
        ids[n++] = (int32_t)atoi(argv[i]);
    if (ssmc_compiled_open(compiled, NULL, &model) != SSMC_OK)
        return fail();
    const int status = go_on(model, ids, n);
    ssmc_model_close(model);
#ifndef MODEL_H
    ssmc_library_close(library);
#endif
    return status;
}
