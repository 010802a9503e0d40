/* tests/unit/test_figure.c -- ssmc bench --figure: the page and the table, from made-up times and
 * from a small run; charts as such. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/figure.h"
#include "bench/plot.h"
#include "tests/harness.h"

#define ARGS(...) ((const char *const[]){SSMC_BINARY, __VA_ARGS__, NULL})

static int
count_text(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

/* Every element that must be closed is. */
static void
expect_closed(const char *page)
{
    static const char *const names[] = {"svg",   "figure",  "table", "thead", "tbody",
                                        "tr",    "details", "head",  "body",  "style",
                                        "title", "ul",      "text",  "g"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char open[16], spaced[16], shut[16];
        snprintf(open, sizeof open, "<%s>", names[i]);
        snprintf(spaced, sizeof spaced, "<%s ", names[i]);
        snprintf(shut, sizeof shut, "</%s>", names[i]);
        cr_expect_eq(count_text(page, open) + count_text(page, spaced), count_text(page, shut),
                     "%s", names[i]);
    }
    cr_expect(!strstr(page, "http"), "the page needs nothing from elsewhere");
    cr_expect(!strstr(page, "nan") && !strstr(page, "inf"), "every number is one");
}

/* ---- charts --------------------------------------------------------------------------------- */

Test(figure, chart_has_marks_and_a_table)
{
    Plot c = {
        .title = "A < B & \"C\"",
        .x_label = "tokens",
        .y_label = "milliseconds",
        .x = {256, 512, 2048},
        .points = 3,
        .line = {{"one", {1.5, 3, 12}}, {"two", {0, 40, 0}}},
        .lines = 2
    };
    StrBuf out = {0};
    plot_chart(&out, &c, "c");
    const char *text = sb_text(&out);
    cr_expect(strstr(text, "A &lt; B &amp; &quot;C&quot;"));
    cr_expect_eq(count_text(text, "<path fill="), 3 + 1 + 2, "points of both lines, and the key");
    cr_expect(strstr(text, "<th scope=\"row\">512</th><td>3</td><td>40</td>"), "%s", text);
    cr_expect(strstr(text, "<th scope=\"row\">256</th><td>1.5</td><td>&ndash;</td>"), "%s", text);
    cr_expect(strstr(text, ">2K</text>"), "lengths in powers of two");
    expect_closed(text);
    sb_free(&out);
}

Test(figure, chart_bears_one_point_none_and_wide_ranges)
{
    Plot c = {.title = "t", .x_label = "x", .y_label = "y", .x = {16}, .points = 1, .lines = 1};
    static const double heights[] = {0, 1, 1e-9, 1e12};
    c.line[0].name = "line";
    for (size_t i = 0; i < COUNT_OF(heights); i++) {
        StrBuf out = {0};
        c.line[0].y[0] = heights[i];
        plot_chart(&out, &c, "c");
        expect_closed(sb_text(&out));
        sb_free(&out);
    }
    StrBuf out = {0};
    c.points = 0;
    plot_chart(&out, &c, "c");
    cr_expect_str_empty(sb_text(&out), "nothing of nothing");
    sb_free(&out);
}

/* ---- the figure ----------------------------------------------------------------------------- */

static const int64_t states[] = {16, 64}, tokens[] = {256, 4096};

static void
add(Figure *f, FigureForm form, int64_t state, int64_t n, double ms)
{
    f->points[f->count++] = (FigurePoint){
        .form = form,
        .state = state,
        .tokens = n,
        .chunk = form == FIGURE_CHUNKED ? 24 : 0,
        .time = {.median = 1e-3 * ms, .spread = 0.02},
        .why_not = ms > 0 ? NULL : "too large"
    };
}

static Figure
figure_made(FigurePoint *points)
{
    Figure f = {
        .size = {.heads = 2, .head_dim = 8, .groups = 1},
        .machine = "some CPU",
        .repeats = 3,
        .states = states,
        .tokens = tokens,
        .nstates = 2,
        .ntokens = 2,
        .points = points
    };
    for (int s = 0; s < 2; s++)
        for (int t = 0; t < 2; t++) {
            const double ms = (double)(states[s] * tokens[t]) / 4096;
            add(&f, FIGURE_RECURRENT, states[s], tokens[t], ms);
            add(&f, FIGURE_CHUNKED, states[s], tokens[t], s ? 2 * ms : ms);
            add(&f, FIGURE_QUADRATIC, states[s], tokens[t], t ? 0 : ms);
        }
    return f;
}

Test(figure, page_of_made_up_times)
{
    FigurePoint points[16];
    const Figure f = figure_made(points);
    StrBuf out = {0};
    figure_put_page(&out, &f);
    const char *page = sb_text(&out);
    cr_expect_eq(count_text(page, "role=\"img\""), 3, "by state, and by length for both states");
    cr_expect(strstr(page, "From N = 16 to N = 64, 4096 tokens take 4.0 times as long (recurrent"),
              "%s", page);
    cr_expect(strstr(page, "8.0 times as long (SSD in chunks, f32)"));
    cr_expect(strstr(page, "2 points were not run; the first, 4096 tokens: too large."));
    cr_expect(!strstr(page, "bf16"), "no line of what was not run");
    cr_expect(strstr(page, "prefers-color-scheme:dark") && strstr(page, "@media print"));
    expect_closed(page);
    sb_free(&out);
}

Test(figure, csv_of_made_up_times)
{
    FigurePoint points[16];
    const Figure f = figure_made(points);
    StrBuf out = {0};
    figure_put_csv(&out, &f);
    const char *csv = sb_text(&out);
    cr_expect_eq(count_text(csv, "\n"), 13, "a head and 12 points");
    cr_expect(strstr(csv, "\n16,chunked,f32,24,4096,16,0.02,256000,\n"), "%s", csv);
    cr_expect(strstr(csv, "\n64,quadratic,f32,,4096,,,,too large\n"), "%s", csv);
    sb_free(&out);
}

/* ---- the command ---------------------------------------------------------------------------- */

Test(figure, command_writes_both)
{
    char *dir = temp_dir(), *page = path_join(dir, "f.html"), *csv = path_join(dir, "f.csv");
    CommandResult r =
        command_run(ARGS("bench", "--figure", page, "--csv", csv, "--prefill", "32,16,32",
                         "--state", "8,4", "--repeats", "1", "--threads", "1"),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    char *text = read_whole(page, NULL), *table = read_whole(csv, NULL);
    cr_assert(text && table);
    expect_closed(text);
    cr_expect_eq(count_text(text, "role=\"img\""), 3);
    cr_expect_eq(count_text(table, ",recurrent,"), 4, "%s", table);
    cr_expect_eq(count_text(table, ",quadratic,"), 4, "%s", table);
    cr_expect_lt(strstr(table, "\n4,"), strstr(table, "\n8,"), "in the order of sizes");
    command_free(&r);
    free(text);
    free(table);
    free(page);
    free(csv);
    temp_dir_remove(dir);
}

Test(figure, faults_come_before_measuring)
{
    static const struct {
        const char *args[5], *says;
    } cases[] = {
        {{"--figure", "/dev/null/f"},               "cannot write /dev/null/f: Not a directory"     },
        {{"--figure", "/"},                         "cannot write /: Is a directory"                },
        {{"--figure", "f", "--csv", "/dev/null/c"}, "cannot write /dev/null/c: Not a directory"     },
        {{"--figure", "f", "--state", "0"},         "--state wants up to 32 whole numbers from 1 to"},
        {{"--figure", "f", "--prefill", ""},        "--prefill wants at least one number"           },
        {{"--figure", "f", "--cpu", "z80"},         "unknown CPU `z80`"                             },
        {{"m.yaml", "--figure", "f"},               "--figure takes no MODEL, but found 'm.yaml'"   },
        {{"m.yaml", "--csv", "c"},                  "--csv goes with --figure"                      },
        {{"m.yaml", "--state", "4"},                "--state goes with --figure"                    },
        {{"m.yaml", "--trace", "/dev/null/t"},      "cannot write /dev/null/t: Not a directory"     },
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const *a = cases[i].args;
        CommandResult r = command_run(ARGS("bench", a[0], a[1], a[2], a[3]), NULL, 0);
        cr_expect_eq(r.status, 2, "%s", r.err);
        cr_expect(strstr(r.err, cases[i].says), "stderr lacks '%s':\n%s", cases[i].says, r.err);
        command_free(&r);
    }
    cr_expect_null(read_whole("f", NULL), "nothing was written");
}
