/* tests/fuzz/ir.c -- the text form: what parses prints, and its print parses to the same print. */
#include <string.h>

#include "ir/ir.h"
#include "tests/fuzz/fuzz.h"

static const char *
print(Arena *arena, const Graph *graph)
{
    StrBuf text = {0};
    graph_print(&text, graph);
    const char *copy = arena_strndup(arena, sb_text(&text), text.len);
    sb_free(&text);
    return copy;
}

static const char *
faults(Arena *arena, const Diag *diag)
{
    StrBuf said = {0};
    diag_print(diag, &said);
    const char *copy = arena_strdup(arena, sb_text(&said));
    sb_free(&said);
    return copy;
}

static void
check_print(Arena *arena, Diag *diag, const Graph *graph)
{
    const char *first = print(arena, graph);
    const Source source = {"print.ir", first, strlen(first)};
    const Graph *again = graph_parse(arena, &source, diag);
    if (!again)
        die("a print that does not parse:\n%s\n%s", first, faults(arena, diag));
    const char *second = print(arena, again);
    if (strcmp(first, second) != 0)
        die("print -> parse -> print is another text:\n%s\n%s", first, second);
}

FUZZ_TARGET(ir)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Source source = {"fuzz.ir", arena_strndup(arena, (const char *)data, size), size};
    const Graph *graph = graph_parse(arena, &source, diag);
    if (graph) {
        check_print(arena, diag, graph);
        graph_verify(graph, diag);
    } else if (diag_errors(diag) == 0) {
        die("refused without a word");
    }
    faults(arena, diag);
    diag_free(diag);
    arena_free(arena);
    return 0;
}
