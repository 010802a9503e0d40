/* examples/embed/logits.c -- a compiled model inside a C program: the ids of a text on standard
 * input, as `ssmc tokenize` prints them; on standard output the logits of every token, a line each,
 * in digits that read back to the same float. README.md says how it is built. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_IDS = 1 << 16 };

static int
fail(const char *what)
{
    fprintf(stderr, "logits: %s\n", what);
    return EXIT_FAILURE;
}

static int
run(const ssmc_model *model, const int32_t *ids, int64_t n)
{
    const int64_t vocab = ssmc_model_vocab(model);
    ssmc_session *session = NULL;
    float *logits = malloc((size_t)(n * vocab) * sizeof *logits); /* [n,vocab] */
    if (!logits)
        return fail("no memory");
    ssmc_status status = ssmc_session_open(model, 1, 0, &session);
    if (status == SSMC_OK)
        status = ssmc_prefill_all(session, 0, ids, n, logits);
    for (int64_t i = 0; i < n * vocab && status == SSMC_OK; i++)
        printf("%.9g%c", (double)logits[i], (i + 1) % vocab ? ' ' : '\n');
    ssmc_session_close(session);
    free(logits);
    return status == SSMC_OK ? EXIT_SUCCESS : fail(ssmc_error());
}

/* logits [CHECKPOINT]: other weights than those the model was compiled with. */
int
main(int argc, char **argv)
{
    static int32_t ids[MOST_IDS];
    const ssmc_opening how = {.weights = argc > 1 ? argv[1] : NULL};
    ssmc_model *model = NULL;
    int64_t n = 0;
    while (n < MOST_IDS && scanf("%d", &ids[n]) == 1)
        n++;
    if (ssmc_compiled_open(model_compiled(), &how, &model) != SSMC_OK)
        return fail(ssmc_error());
    const int status = run(model, ids, n);
    ssmc_model_close(model);
    return fflush(stdout) == 0 ? status : fail("cannot write");
}
