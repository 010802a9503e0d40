/* tests/fuzz/config.c -- a checkpoint's config.json becomes a graph that verifies, or faults that
 * print. */
#include "frontend/frontend.h"
#include "tests/fuzz/fuzz.h"

FUZZ_TARGET(config)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    FeModel model;
    StrBuf said = {0};
    const bool good =
        fe_config_parse(arena, (const char *)data, size, "/fuzz/config.json", diag, &model);
    if (good && !graph_verify(model.graph, diag)) {
        diag_print(diag, &said);
        die("a graph that does not verify:\n%s", sb_text(&said));
    }
    if (!good && diag_errors(diag) == 0)
        die("refused without a word");
    diag_print(diag, &said);
    sb_free(&said);
    diag_free(diag);
    arena_free(arena);
    return 0;
}
