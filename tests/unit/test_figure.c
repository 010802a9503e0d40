/* tests/unit/test_figure.c -- ssmc bench --figure: the page and the table, from made-up times and
 * from a small run; charts as a browser draws them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/figure.h"
#include "tests/harness.h"
#include "tests/page.h"
#include "tests/xml.h"

#define ARGS(...) ((const char *const[]){SSMC_BINARY, __VA_ARGS__, NULL})

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
        .batch = 1,
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

static char *
page_of(const Figure *f)
{
    StrBuf out = {0};
    figure_put_page(&out, f);
    cr_expect_eq(text_count(sb_text(&out), "<table>"), 1);
    return out.text;
}

Test(figure, page_of_made_up_times)
{
    FigurePoint points[16];
    Figure f = figure_made(points);
    f.machine = "A < B & \"C\"";
    char *page = page_of(&f);
    struct json_object *data = page_data(page), *all = json_at(data, "points");
    cr_assert_eq(json_object_array_length(all), 12u);
    for (int i = 0; i < 12; i++) {
        struct json_object *point = json_nth(all, i), *ms = json_at(point, "milliseconds");
        cr_expect_eq(json_object_get_int64(json_at(point, "state")), points[i].state);
        cr_expect_eq(json_object_get_int64(json_at(point, "tokens")), points[i].tokens);
        cr_expect_eq(ms == NULL, points[i].why_not != NULL);
        cr_expect_float_eq(json_object_get_double(ms), 1e3 * points[i].time.median, 1e-3);
    }
    cr_expect_eq(json_object_get_int(json_at(data, "compared")), 4096);
    cr_expect(strstr(page, "A &lt; B &amp; &quot;C&quot;"));
    cr_expect(strstr(page, "From N = 16 to N = 64, 4096 tokens take 4.0 times as long (recurrent"),
              "%s", page);
    cr_expect(strstr(page, "8.0 times as long (SSD in chunks, f32)"));
    cr_expect(strstr(page,
                     "<p>quadratic, f32: 2 points were not run, the first of 4096 tokens: too "
                     "large.</p>"),
              "%s", page);
    cr_expect(!strstr(page, "bf16 dots"), "no line of what was not run");
    cr_expect(strstr(page, "<td class=\"text\">quadratic, f32</td><td>64</td><td>4096</td><td></td>"
                           "<td></td><td></td><td></td><td class=\"text\">too large</td>"));
    cr_expect(strstr(page, "prefers-color-scheme: dark") && strstr(page, "@media print"));
    json_object_put(data);
    free(page);
}

/* ---- who is ahead --------------------------------------------------------------------------- */

/* States 16, 32, 64 and 128 at two lengths: SSD in chunks always faster, faster from about 1024
 * tokens on (the curves cross halfway by logarithm), never, and never again. */
static Figure
race_made(FigurePoint *points)
{
    static const int64_t sizes[] = {16, 32, 64, 128};
    static const double ssd[][2] = {
        {1, 1},
        {4, 4},
        {9, 9},
        {1, 9}
    };
    Figure f = {.states = sizes, .tokens = tokens, .nstates = 4, .ntokens = 2, .points = points};
    add(&f, FIGURE_ATTENTION, 0, 256, 2);
    add(&f, FIGURE_ATTENTION, 0, 4096, 8);
    for (int s = 0; s < 4; s++)
        for (int t = 0; t < 2; t++) {
            add(&f, FIGURE_CHUNKED, sizes[s], tokens[t], ssd[s][t]);
            add(&f, FIGURE_SCAN, sizes[s], tokens[t], 3 * (double)(s + 1));
        }
    return f;
}

Test(figure, says_from_which_length_on_it_is_ahead)
{
    FigurePoint points[32];
    const Figure f = race_made(points);
    StrBuf out = {0};
    figure_say(&out, &f);
    const char *says = sb_text(&out);
    cr_expect(
        strstr(says,
               "\nSSD in chunks, f32, is ahead of attention, f32: with N = 16 at every length; "
               "with N = 32 from about 1000 tokens on; with N = 64 to 128 at no length.\n"),
        "%s", says);
    cr_expect(strstr(says,
                     "selective scan, f32 of the same N: with N = 16 to 32 at every length; with "
                     "N = 64 at no length; with N = 128 at every length.\n"),
              "%s", says);
    cr_expect(strstr(says,
                     "selective scan, f32 of N = 16, as in Mamba-1: with N = 16 at every length; "
                     "with N = 32 to 128 at no length.\n"),
              "%s", says);
    cr_expect(!strstr(says, "bf16"), "what was not run is not compared: %s", says);
    sb_free(&out);
}

Test(figure, says_nothing_of_lengths_that_were_not_run)
{
    FigurePoint points[32];
    Figure f = race_made(points);
    points[1].why_not = "too slow"; /* attention, 4096 tokens */
    StrBuf out = {0};
    figure_say(&out, &f);
    const char *says = sb_text(&out);
    cr_expect(strstr(says, "attention, f32: with N = 16 at every length; with N = 32 to 64 at no "
                           "length; with N = 128 at every length.\n"),
              "%s", says);
    cr_expect(strstr(says, "attention, f32: 1 point was not run, the first of 4096 tokens: too "
                           "slow.\n"),
              "%s", says);
    sb_free(&out);
}

/* ---- a browser ------------------------------------------------------------------------------ */

Test(figure, a_browser_draws_a_chart_for_each_state)
{
    FigurePoint points[16];
    const Figure f = figure_made(points);
    char *page = page_of(&f), *drawn = page_drawn(page, NULL, 800, 600);
    cr_expect_eq(text_count(drawn, "role=\"img\""), 3, "by state, and by length for both states");
    cr_expect_eq(text_count(drawn, "<title id="), 3);
    cr_expect_eq(text_count(drawn, "<table>"), 3 + 1);
    /* By state 2 forms of 2 points; by length these and the quadratic form's one; and their keys.
     */
    cr_expect_eq(text_count(drawn, "class=\"mark c0\""), 3 * 2 + 3);
    cr_expect_eq(text_count(drawn, "class=\"mark c1\""), 3 * 2 + 3);
    cr_expect_eq(text_count(drawn, "class=\"mark c2\""), 2 * 1 + 2);
    cr_expect(strstr(drawn, "<title>recurrent scan, f32, N = 64, 4096 tokens: 64 ms</title>"));
    cr_expect(strstr(drawn, "<th scope=\"row\">4096</th><td>16</td><td>16</td><td></td>"), "%s",
              drawn);
    cr_expect(strstr(drawn, ">state size N</text>") && strstr(drawn, ">milliseconds</text>"));
    free(drawn);
    free(page);
}

/* The axis' ends, and halfway by logarithm; sizes in powers of two or of ten; any range of times.
 */
Test(figure, a_browser_places_points)
{
    static const int64_t sizes[] = {16, 64, 256};
    static const int64_t lengths[] = {256, 2048, 16000, 65536, 1 << 20};
    static const double ms[] = {1, 10, 100}, wide[] = {1e-9, 1e12, 1e300};
    FigurePoint points[16];
    Figure f = {.machine = "some CPU",
                .batch = 1,
                .states = sizes,
                .tokens = lengths,
                .nstates = 3,
                .ntokens = 5,
                .points = points};
    for (int s = 0; s < 3; s++) {
        add(&f, FIGURE_RECURRENT, sizes[s], 2048, ms[s]);
        add(&f, FIGURE_RECURRENT, sizes[s], 1 << 20, wide[s]);
    }
    double x[3], y[3];
    char *page = page_of(&f), *drawn = page_drawn(page, NULL, 800, 600);
    const char *at = strstr(drawn, "points=\"");
    cr_assert_not_null(at, "%s", drawn);
    cr_assert_eq(
        sscanf(at, "points=\"%lf,%lf %lf,%lf %lf,%lf\"", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]),
        6, "%s", at);
    cr_expect_float_eq(x[1], (x[0] + x[2]) / 2, 0.11);
    cr_expect_float_eq(y[1], (y[0] + y[2]) / 2, 0.11);
    cr_expect(x[2] > x[0] + 200 && y[0] > y[2] + 100, "%s", at);
    cr_expect(strstr(drawn, ">2K</text>"), "lengths in powers of two");
    cr_expect(strstr(drawn, ">64K</text>") && strstr(drawn, ">1M</text>"));
    cr_expect(strstr(drawn, ">16k</text>"), "or of ten");
    cr_expect_eq(text_count(drawn, "role=\"img\""), 4);
    cr_expect(!strstr(drawn, "NaN") && !strstr(drawn, "Infinity"), "%s", drawn);
    free(drawn);
    free(page);
}

/* What has no state size has its curve beside every one. */
Test(figure, a_browser_draws_attention_at_every_state)
{
    FigurePoint points[16];
    Figure f = figure_made(points);
    add(&f, FIGURE_ATTENTION, 0, 256, 1);
    add(&f, FIGURE_ATTENTION, 0, 4096, 50);
    char *page = page_of(&f), *drawn = page_drawn(page, NULL, 800, 600);
    cr_expect(strstr(page, "<td class=\"text\">attention, f32</td><td></td><td>4096</td>"), "%s",
              page);
    cr_expect_eq(text_count(drawn, "class=\"mark c3\""), 3 * 2 + 3, "two points a chart, and keys");
    cr_expect_eq(text_count(drawn, "<title>attention, f32, 4096 tokens: 50 ms</title>"), 4,
                 "both ends of the states, and both lengths");
    free(drawn);
    free(page);
}

Test(figure, a_browser_draws_nothing_of_nothing)
{
    FigurePoint points[16];
    Figure f = figure_made(points);
    for (int i = 0; i < f.count; i++)
        points[i].why_not = "too large";
    char *page = page_of(&f);
    json_object_put(page_data(page));
    char *drawn = page_drawn(page, NULL, 800, 600);
    cr_expect_eq(text_count(drawn, "role=\"img\""), 0);
    free(drawn);
    free(page);
}

/* ---- CSV ------------------------------------------------------------------------------------ */

Test(figure, csv_of_made_up_times)
{
    FigurePoint points[16];
    Figure f = figure_made(points);
    add(&f, FIGURE_ATTENTION_BF16, 0, 4096, 3);
    StrBuf out = {0};
    figure_put_csv(&out, &f);
    const char *csv = sb_text(&out);
    cr_expect_eq(text_count(csv, "\n"), 14, "a head and 13 points");
    cr_expect(strstr(csv, "\n16,chunked,f32,24,4096,16,0.02,256000,\n"), "%s", csv);
    cr_expect(strstr(csv, "\n64,quadratic,f32,,4096,,,,too large\n"), "%s", csv);
    cr_expect(strstr(csv, "\n,attention,bf16,,4096,3,0.02,"), "it has no state size: %s", csv);
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
    struct json_object *data = page_data(text);
    cr_expect_geq(json_object_array_length(json_at(data, "points")), 18u,
                  "four curves or five a state, and one or two of attention");
    json_object_put(data);
    cr_expect_eq(text_count(table, ",recurrent,"), 4, "%s", table);
    cr_expect_eq(text_count(table, ",quadratic,"), 4, "%s", table);
    cr_expect_eq(text_count(table, ",selective_scan,f32,,"), 4, "a scan has no chunk: %s", table);
    cr_expect_eq(text_count(table, "\n,attention,f32,,"), 2, "nor a state size: %s", table);
    cr_expect(strstr(text, "Mamba-1's selective scan, f32") && strstr(text, "attention, f32"));
    cr_expect(strstr(r.out, "SSD in chunks, f32, is ahead of attention, f32: with N = 4 "), "%s",
              r.out);
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

/* ---- on a GPU -------------------------------------------------------------------------------- */

/* All curves but the quadratic form's, of bf16 too, whatever the CPU's dots are. */
Test(figure, on_a_gpu)
{
    char *dir = temp_dir(), *page = path_join(dir, "f.html"), *csv = path_join(dir, "f.csv");
    CommandResult r = command_run(ARGS("bench", "--figure", page, "--csv", csv, "--device", "model",
                                       "--ssd", "2,8,1,1", "--state", "4", "--prefill", "16,48",
                                       "--batch", "2", "--repeats", "1", "--threads", "1"),
                                  NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, "SSD in chunks, bf16 dots, is ahead of"), "%s", r.out);
    command_free(&r);
    size_t len = 0;
    char *points = read_whole(csv, &len), *text = read_whole(page, &len);
    cr_expect_eq(text_count(points, "\n"), 1 + 6 * 2, "%s", points);
    cr_expect_eq(text_count(points, "quadratic"), 0, "%s", points);
    cr_expect(strstr(text, "the model of a GPU, as sm_80, ssmc"), "%s", text);
    cr_expect(strstr(text, "2 sequences from empty states together"), "%s", text);
    free(text);
    free(points);
    temp_dir_remove(dir);
    free(csv);
    free(page);
}
