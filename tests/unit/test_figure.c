/* tests/unit/test_figure.c -- ssmc bench --figure: the page and the table, from made-up times and
 * from a small run; charts as such. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/curves.h"
#include "explore/figure.h"
#include "tests/harness.h"
#include "tests/xml.h"

#define ARGS(...) ((const char *const[]){SSMC_BINARY, __VA_ARGS__, NULL})

static void
expect_page(const char *page)
{
    char why[200] = "";
    cr_expect(xml_is_well_formed(page, why), "%s", why);
    cr_expect_eq(text_count(page, "http"), text_count(page, "xmlns=\"http://www.w3.org/"),
                 "the page needs nothing from elsewhere");
    cr_expect(!strstr(page, "nan") && !strstr(page, "inf"), "every number is one");
    cr_expect_eq(text_count(page, "<title id="), text_count(page, "role=\"img\""));
    cr_expect_eq(text_count(page, "<table>"), text_count(page, "role=\"img\""));
}

/* ---- charts --------------------------------------------------------------------------------- */

static char *
chart_of(Curve *curves, int count, const int64_t *values, int nvalues)
{
    const CurveFigure figure = {"A < B & \"C\"", "t", "d", "milliseconds", "tokens"};
    StrBuf out = {0};
    Page page = {.out = &out, .arena = arena_new()};
    const SvgAxis x = svg_values("tokens", values, nvalues);
    const SvgAxis y =
        svg_log("milliseconds", curves_lowest(curves, count), curves_highest(curves, count));
    curves_figure(&page, &figure, &x, &y, curves, count);
    arena_free(page.arena);
    return out.text;
}

Test(figure, chart_has_marks_and_a_table)
{
    static const int64_t values[] = {256, 2048, 16000, 65536, 1 << 20};
    SvgPoint one[] = {
        {256,  1.5, "first"},
        {512,  3,   NULL   },
        {2048, 12,  NULL   }
    };
    SvgPoint two[] = {
        {512, 40, NULL}
    };
    Curve curves[] = {
        {"one",   one,  3, 0},
        {"two",   two,  1, 1},
        {"three", NULL, 0, 2}
    };
    char *text = chart_of(curves, 3, values, 5), why[200] = "";
    cr_expect(xml_is_well_formed(text, why), "%s", why);
    cr_expect(strstr(text, "A &lt; B &amp; &quot;C&quot;"));
    cr_expect_eq(text_count(text, "class=\"mark c0\""), 3 + 1, "points, and the key");
    cr_expect_eq(text_count(text, "class=\"mark c1\""), 1 + 1);
    cr_expect_eq(text_count(text, "class=\"mark c2\""), 0, "no mark of a curve without points");
    cr_expect(strstr(text, "><title>first</title></circle>"));
    cr_expect(strstr(text, "<th scope=\"row\">512</th><td>3</td><td>40</td><td></td>"), "%s", text);
    cr_expect(strstr(text, "<th scope=\"row\">256</th><td>1.5</td><td></td>"), "%s", text);
    cr_expect(strstr(text, ">2K</text>"), "lengths in powers of two");
    cr_expect(strstr(text, ">64K</text>") && strstr(text, ">1M</text>"));
    cr_expect(strstr(text, ">16k</text>"), "or of ten");
    free(text);
}

/* Each at its place: the axes' ends, and halfway by logarithm. */
Test(figure, chart_places_points)
{
    static const int64_t values[] = {16, 64, 256};
    SvgPoint points[] = {
        {16,  1,   NULL},
        {64,  10,  NULL},
        {256, 100, NULL}
    };
    Curve curve = {"line", points, 3, 0};
    double x[3], y[3];
    char *text = chart_of(&curve, 1, values, 3);
    const char *at = strstr(text, "points=\"");
    cr_assert_eq(
        sscanf(at, "points=\"%lf,%lf %lf,%lf %lf,%lf\"", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]),
        6, "%s", at);
    cr_expect_float_eq(x[1], (x[0] + x[2]) / 2, 0.11);
    cr_expect_float_eq(y[1], (y[0] + y[2]) / 2, 0.11);
    cr_expect(x[2] > x[0] + 200 && y[0] > y[2] + 100, "%s", at);
    free(text);
}

Test(figure, chart_bears_one_point_and_wide_ranges)
{
    static const int64_t values[] = {16};
    static const double heights[] = {1, 1e-9, 1e12, 1e300};
    for (size_t i = 0; i < COUNT_OF(heights); i++) {
        SvgPoint point = {16, heights[i], NULL};
        Curve curve = {"line", &point, 1, 0};
        char *text = chart_of(&curve, 1, values, 1), why[200] = "";
        cr_expect(xml_is_well_formed(text, why), "%s", why);
        cr_expect(!strstr(text, "nan") && !strstr(text, "inf"), "%s", text);
        free(text);
    }
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
    cr_expect_eq(text_count(page, "role=\"img\""), 3, "by state, and by length for both states");
    cr_expect(strstr(page, "From N = 16 to N = 64, 4096 tokens take 4.0 times as long (recurrent"),
              "%s", page);
    cr_expect(strstr(page, "8.0 times as long (SSD in chunks, f32)"));
    cr_expect(strstr(page, "2 points were not run; the first, 4096 tokens: too large."));
    cr_expect(!strstr(page, "bf16"), "no line of what was not run");
    cr_expect(strstr(page, "prefers-color-scheme: dark") && strstr(page, "@media print"));
    expect_page(page);
    sb_free(&out);
}

Test(figure, page_of_nothing_that_ran)
{
    FigurePoint points[16];
    Figure f = figure_made(points);
    StrBuf out = {0};
    for (int i = 0; i < f.count; i++)
        points[i].why_not = "too large";
    figure_put_page(&out, &f);
    expect_page(sb_text(&out));
    cr_expect_eq(text_count(sb_text(&out), "role=\"img\""), 0, "nothing of nothing");
    sb_free(&out);
}

Test(figure, csv_of_made_up_times)
{
    FigurePoint points[16];
    const Figure f = figure_made(points);
    StrBuf out = {0};
    figure_put_csv(&out, &f);
    const char *csv = sb_text(&out);
    cr_expect_eq(text_count(csv, "\n"), 13, "a head and 12 points");
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
    expect_page(text);
    cr_expect_eq(text_count(text, "role=\"img\""), 3);
    cr_expect_eq(text_count(table, ",recurrent,"), 4, "%s", table);
    cr_expect_eq(text_count(table, ",quadratic,"), 4, "%s", table);
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
