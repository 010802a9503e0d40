/* tests/unit/test_util.c -- ir/util.h and ir/diag.h: memory, numbers, names, files, diagnostics. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/diag.h"
#include "tests/harness.h"

/* ---- util --------------------------------------------------------------------------------- */

Test(util, arena_memory_is_zeroed_aligned_and_survives_growth)
{
    Arena *arena = arena_new();
    int *items = NULL, count = 0, cap = 0;
    for (int i = 0; i < 100000; i++)
        VEC_PUSH(arena, items, count, cap, i);
    for (int i = 0; i < count; i++)
        cr_assert_eq(items[i], i);
    for (size_t bytes = 0; bytes < 300000; bytes = bytes * 3 + 1) {
        const unsigned char *p = arena_alloc(arena, bytes);
        cr_assert_eq((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < bytes; i++)
            cr_assert_eq(p[i], 0);
    }
    arena_free(arena);
}

Test(util, sizes_refuse_overflow_and_negative_operands)
{
    int64_t out = -7;
    cr_expect(!size_mul(INT64_MAX / 2, 3, &out));
    cr_expect(!size_mul(-1, 3, &out));
    cr_expect(!size_add(INT64_MAX, 1, &out));
    cr_expect(!size_add(1, -1, &out));
    cr_expect_eq(out, -7, "untouched when refused");
    cr_expect(size_mul(INT64_MAX, 1, &out) && out == INT64_MAX);
    cr_expect(size_mul(5, 0, &out) && out == 0);
    cr_expect_eq(round_up(65, 64), 128);
    cr_expect_eq(round_up(64, 64), 64);
}

Test(util, numbers_are_the_shortest_text_that_reads_back)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.5,       "0.5"                },
        {1e-5,      "1e-05"              },
        {0.1,       "0.1"                },
        {1.0 / 3,   "0.3333333333333333" },
        {-0.0,      "-0"                 },
        {3,         "3"                  },
        {1e300,     "1e+300"             },
        {0.1 + 0.2, "0.30000000000000004"},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        cr_expect_str_eq(number_text(arena, cases[i].value), cases[i].text);
    cr_expect_str_eq(number_text(arena, (double)INFINITY), "inf");
    cr_expect_str_eq(number_text(arena, -(double)INFINITY), "-inf");
    arena_free(arena);
}

Test(util, texts_are_numbered_as_they_come)
{
    enum { MANY = 20000 };
    char name[64];
    Arena *arena = arena_new();
    Texts texts = {.arena = arena};
    cr_expect_eq(texts_find(&texts, "layers.0.weight"), -1);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            snprintf(name, sizeof name, "layers.%d.experts.%d.weight", i / 100, i % 100);
            cr_assert_eq(texts_add(&texts, name), i);
            cr_assert_eq(texts_find(&texts, name), i);
            cr_assert_str_eq(texts_at(&texts, i), name);
        }
    cr_expect_eq(texts.count, MANY);
    cr_expect_eq(texts_find(&texts, "layers.0.weight"), -1);
    cr_expect_eq(texts_add(&texts, ""), MANY);
    cr_expect_eq(texts_find(&texts, ""), MANY);
    arena_free(arena);
}

Test(util, near_names_are_found_and_far_ones_are_not)
{
    static const char *const names[] = {"rmsnorm", "softplus", "silu", "conv1d"};
    const size_t n = COUNT_OF(names), stride = sizeof names[0];
    cr_expect_str_eq(nearest_name("rmsnrom", names, n, stride), "rmsnorm");
    cr_expect_str_eq(nearest_name("slu", names, n, stride), "silu");
    cr_expect_str_eq(nearest_name("conv2d", names, n, stride), "conv1d");
    cr_expect_null(nearest_name("attention", names, n, stride));
    cr_expect_null(nearest_name("", names, n, stride));
}

Test(util, files_are_read_with_a_limit)
{
    Arena *arena = arena_new();
    char *dir = temp_dir(), *path = path_join(dir, "file");
    const char *why = NULL;
    char *text;
    size_t len;
    cr_assert(write_whole(path, "a\0b", 3));
    cr_assert(file_read(arena, path, 3, &text, &len, &why), "%s", why);
    cr_expect(len == 3 && memcmp(text, "a\0b", 4) == 0);
    cr_expect(!file_read(arena, path, 2, &text, &len, &why));
    cr_expect(strstr(why, "more than 2 bytes"), "%s", why);
    cr_expect(!file_read(arena, dir, 100, &text, &len, &why));
    cr_expect(strstr(why, "Is a directory"), "%s", why);
    free(path);
    temp_dir_remove(dir);
    arena_free(arena);
}

/* ---- diagnostics -------------------------------------------------------------------------- */

static char *
shown(const char *line, int column, int span)
{
    const Source source = {"m.yaml", line, strlen(line)};
    Diag *diag = diag_new();
    StrBuf out = {0};
    diag_error(diag, (SrcLoc){&source, 1, column, span}, "wrong");
    diag_print(diag, &out);
    diag_free(diag);
    return out.text;
}

static void
expect_shown(const char *line, int column, int span, const char *expected)
{
    char *text = shown(line, column, span);
    cr_expect_str_eq(text, expected);
    free(text);
}

Test(diag, shows_the_line_and_a_caret)
{
    expect_shown("a: b\nc: d", 4, 1, "m.yaml:1:4: error: wrong\na: b\n   ^\n");
    expect_shown("dim: 12x", 6, 3, "m.yaml:1:6: error: wrong\ndim: 12x\n     ^~~\n");
    expect_shown("\tx: y", 2, 1, "m.yaml:1:2: error: wrong\n\tx: y\n\t^\n");
    expect_shown("ab", 9, 1, "m.yaml:1:9: error: wrong\nab\n  ^\n");
    expect_shown("", 1, 1, "m.yaml:1:1: error: wrong\n\n^\n");
}

Test(diag, escapes_what_a_terminal_must_not_see)
{
    expect_shown("a\x1b[m!", 6, 1, "m.yaml:1:6: error: wrong\na\\x1b[m!\n        ^\n");
    expect_shown("\xc3\xa9 x", 4, 1, "m.yaml:1:4: error: wrong\n\xc3\xa9 x\n  ^\n");
    expect_shown("\xff x", 3, 1, "m.yaml:1:3: error: wrong\n\\xff x\n     ^\n");
}

Test(diag, shortens_long_lines_around_the_caret)
{
    char line[5001];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    line[3000] = '!';
    char *text = shown(line, 3001, 1);
    cr_expect_lt(strlen(text), 600);
    const char *bang = strchr(text, '!'), *caret = strchr(text, '^');
    cr_assert(bang && caret && strstr(text, "...xxx") && strstr(text, "xxx..."));
    const char *line_start = strchr(text, '\n') + 1, *caret_start = strchr(line_start, '\n') + 1;
    cr_expect_eq(bang - line_start, caret - caret_start);
    free(text);
}

/* Notes alone take a line each, once; beside a fault they stay with it. */
Test(diag, notes_of_work_that_went_well)
{
    const Source source = {"m.yaml", "a: b", 4};
    Diag *diag = diag_new();
    StrBuf out = {0};
    diag_note(diag, (SrcLoc){&source, 1, 4, 1}, "b is odd");
    diag_note(diag, (SrcLoc){0}, "so is this");
    diag_take_notes(diag, &out);
    diag_take_notes(diag, &out);
    cr_expect_str_eq(sb_text(&out), "m.yaml:1:4: note: b is odd\nnote: so is this\n");
    diag_note(diag, (SrcLoc){0}, "why");
    diag_error(diag, (SrcLoc){0}, "wrong");
    out.len = 0;
    diag_take_notes(diag, &out);
    cr_expect_eq(out.len, 0);
    diag_print(diag, &out);
    cr_expect_str_eq(sb_text(&out), "note: why\nerror: wrong\n");
    sb_free(&out);
    diag_free(diag);
}

Test(diag, prints_second_places_and_counts_what_it_does_not_show)
{
    Diag *diag = diag_new();
    StrBuf out = {0};
    for (int i = 0; i < 23; i++) {
        diag_error(diag, (SrcLoc){0}, "fault %d", i);
        diag_also(diag, (SrcLoc){0}, "because %d", i);
    }
    cr_expect_eq(diag_errors(diag), 23);
    diag_print(diag, &out);
    cr_expect(strncmp(out.text, "error: fault 0\nnote: because 0\nerror: fault 1\n", 46) == 0);
    cr_expect(strstr(out.text, "error: fault 19\nnote: because 19\n... and 3 more errors\n"));
    cr_expect_null(strstr(out.text, "fault 20"));
    sb_free(&out);
    diag_free(diag);
}
