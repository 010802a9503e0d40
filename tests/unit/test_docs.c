/* tests/unit/test_docs.c -- ir/IR.md against the tables it is about, and its example. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "ir/docs.h"
#include "ir/ir.h"
#include "tests/harness.h"

static char *
ir_md(void)
{
    char *text = read_whole(SSMC_ROOT "/ir/IR.md", NULL);
    cr_assert(text != NULL, "ir/IR.md cannot be read");
    return text;
}

Test(docs, ir_md_ends_with_the_tables)
{
    char *text = ir_md();
    const char *table = strstr(text, "| op |");
    cr_assert(table != NULL);
    StrBuf tables = {0};
    ir_docs(&tables);
    char *diff = text_diff(table, sb_text(&tables));
    cr_expect(*diff == '\0', "ir/IR.md is not what `ssmc help ops` prints:\n%s", diff);
    free(diff);
    sb_free(&tables);
    free(text);
}

Test(docs, the_example_of_ir_md_prints_as_it_stands)
{
    char *text = ir_md();
    char *from = strstr(text, "```\n");
    char *end = from != NULL ? strstr(from + 4, "```\n") : NULL;
    cr_assert(end != NULL, "ir/IR.md has no example");
    *end = '\0';
    const Source source = {"ir/IR.md", from + 4, strlen(from + 4)};
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Graph *g = graph_parse(arena, &source, diag);
    StrBuf printed = {0};
    if (g != NULL)
        graph_print(&printed, g);
    else
        diag_print(diag, &printed);
    char *diff = text_diff(source.text, sb_text(&printed));
    cr_expect(*diff == '\0', "%s", diff);
    free(diff);
    sb_free(&printed);
    diag_free(diag);
    arena_free(arena);
    free(text);
}
