/* tests/data/embed.c -- a program that knows a compiled model by its header alone (MODEL_H, and
 * MODEL_COMPILED, the function that the header declares): embed IDS LOGITS [WEIGHTS]. IDS holds
 * int32 ids, LOGITS gets the float32 logits of every one. */
#include MODEL_H
#include <stdio.h>
#include <stdlib.h>

static int
fail(const char *what)
{
    fprintf(stderr, "embed: %s\n", what);
    return 1;
}

static int
run(const ssmc_model *model, FILE *in, FILE *out)
{
    ssmc_session *session = NULL;
    static int32_t ids[1 << 16];
    const int64_t n = (int64_t)fread(ids, sizeof *ids, sizeof ids / sizeof *ids, in);
    const size_t count = (size_t)(n * ssmc_model_vocab(model));
    float *logits = malloc(count * sizeof *logits);
    if (!logits || ssmc_session_open(model, 1, 2, &session) != SSMC_OK ||
        ssmc_prefill_all(session, 0, ids, n, logits) != SSMC_OK)
        return fail(ssmc_error());
    const size_t put = fwrite(logits, sizeof *logits, count, out);
    ssmc_session_close(session);
    free(logits);
    return put == count ? 0 : fail("cannot write");
}

int
main(int argc, char **argv)
{
    ssmc_model *model = NULL;
    ssmc_memory memory;
    const ssmc_opening how = {.weights = argc > 3 ? argv[3] : NULL};
    FILE *in = argc > 2 ? fopen(argv[1], "rb") : NULL,
         *out = argc > 2 ? fopen(argv[2], "wb") : NULL;
    if (!in || !out)
        return fail("usage: embed IDS LOGITS [WEIGHTS]");
    if (ssmc_compiled_memory(MODEL_COMPILED(), NULL, 1, 2, &memory) != SSMC_OK ||
        ssmc_compiled_open(MODEL_COMPILED(), &how, &model) != SSMC_OK)
        return fail(ssmc_error());
    int status = run(model, in, out);
    ssmc_model_close(model);
    if (memory.state == 0 || memory.params == 0)
        status = fail("the figures of memory are empty");
    return fclose(out) == 0 ? status : fail("cannot write");
}
