/* tests/unit/test_explore_page.c -- the page of ssmc explore: well-formed, whole in one file, with
 * all results as data and as text, and drawn by a browser where there is one. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explore/explore.h"
#include "tests/harness.h"
#include "tests/page.h"
#include "tests/xml.h"

static const char kernels[] =
    "prefill:in_proj:24:0.067:6.0851e+10:4.17989e+08 prefill:ssd:24:0.0088:5.16607e+09:1.96224e+08 "
    "prefill:conv1d:24:0.0039:0:1.67092e+08 head:lm_head:1:0.0015:7.7e+07:7.7e+07 "
    "decode:ssd:24:0.00097:3.77487e+07:7.67539e+07";

static ExploreRow
row_of(const char *dtype, int64_t state, int64_t tokens, const char *form, int64_t chunk,
       double tps)
{
    ExploreRow row = explore_row();
    row.state = state;
    row.head_dim = 64;
    row.groups = 1;
    row.heads = 24;
    row.layers = 24;
    row.dtype = dtype;
    row.form = form;
    row.chunk = chunk;
    row.threads = 2;
    row.tokens = tokens;
    row.status = explore_ok;
    row.chosen = chunk == 64;
    row.repeats = 5;
    row.prefill_tps = tps;
    row.prefill_spread = 0.02;
    row.decode_tps = 100;
    row.drift = 0.01;
    row.peak_gops = 1050;
    row.predicted_tps = tps * 1.1;
    row.error = 1e-6;
    row.error_tokens = 301;
    row.weight_bytes = 400 << 20;
    row.state_bytes = state << 16;
    row.memory_bytes = row.weight_bytes + row.state_bytes + (20 << 20);
    row.kernels = kernels;
    return row;
}

/* Two types, two lengths, three states, two chunk lengths and the recurrence. */
static ExploreTable
table_new(void)
{
    static const char *const dtypes[] = {"bf16", "f32"};
    ExploreTable t = {.arena = arena_new()};
    for (int id = 0; id < HEAD_COUNT; id++)
        t.head[id] = head_info[id].name;
    t.nceilings = 1;
    t.ceilings[0] = (BenchCeilings){
        .threads = 2, .read = {.median = 48}, .l2 = {.median = 260}, .l1 = {.median = 1000}};
    for (int d = 0; d < 2; d++)
        for (int64_t tokens = 512; tokens <= 2048; tokens *= 4)
            for (int64_t state = 16; state <= 256; state *= 4) {
                const double speed = 5000.0 / (1 + d) / (1 + (double)state / 256);
                const ExploreRow rows[] = {
                    row_of(dtypes[d], state, tokens, "chunked", 32, speed),
                    row_of(dtypes[d], state, tokens, "chunked", 64, speed * 0.9),
                    row_of(dtypes[d], state, tokens, "recurrent", -1, speed * 0.7)};
                for (size_t i = 0; i < COUNT_OF(rows); i++)
                    explore_add(&t, &rows[i]);
            }
    return t;
}

static char *
page_of(const ExploreTable *t)
{
    StrBuf page = {0};
    explore_put_page(&page, t);
    json_object_put(page_data(page.text));
    return page.text;
}

static void
expect_has(const char *page, const char *what)
{
    cr_expect(strstr(page, what), "the page lacks '%s'", what);
}

Test(explore_page, the_checker_checks)
{
    char why[200];
    cr_expect(xml_is_well_formed("<a b=\"c\">&amp;<d/></a>", why), "%s", why);
    static const char *const wrong[] = {"<a>",
                                        "<a></b>",
                                        "<a b=c></a>",
                                        "<a>&</a>",
                                        "</a>",
                                        "<a b=\"<\"></a>",
                                        "<a",
                                        "x<a/>",
                                        "<a>< /",
                                        "<a b=\"\" b=\"\"/>",
                                        "<a><b id=\"x\"/><b id=\"x\"/></a>"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        cr_expect(!xml_is_well_formed(wrong[i], why), "%s", wrong[i]);
}

/* ---- the data ------------------------------------------------------------------------------- */

static double
number_at(struct json_object *row, ColumnId id)
{
    return json_object_get_double(json_at(row, column_info[id].name));
}

Test(explore_page, holds_every_result)
{
    ExploreTable t = table_new();
    StrBuf page = {0};
    t.rows[3].error = NAN;
    explore_put_page(&page, &t);
    struct json_object *data = page_data(page.text), *rows = json_at(data, "rows");
    cr_assert_eq(json_object_array_length(rows), (size_t)t.nrows);
    for (int i = 0; i < t.nrows; i++) {
        struct json_object *row = json_nth(rows, i);
        cr_expect_eq(json_object_object_length(row), COLUMN_COUNT);
        cr_expect_eq(number_at(row, COLUMN_state), (double)t.rows[i].state);
        cr_expect_eq(number_at(row, COLUMN_tokens), (double)t.rows[i].tokens);
        cr_expect_float_eq(number_at(row, COLUMN_prefill_tps), t.rows[i].prefill_tps, 0.01);
        cr_expect_str_eq(json_object_get_string(json_at(row, "kernels")), kernels);
        cr_expect_eq(json_at(row, "chunk") == NULL, t.rows[i].chunk < 0, "empty is null");
        cr_expect_eq(json_at(row, "error") == NULL, i == 3);
    }
    struct json_object *ceilings = json_nth(json_at(data, "ceilings"), 0);
    cr_expect_eq(json_object_get_double(json_at(ceilings, "l2_gbs")), 260);
    cr_expect_eq(json_object_get_double(json_at(ceilings, "read_gbs")), 48);
    json_object_put(data);
    sb_free(&page);
}

/* Chunks of 32 are the fastest, chunks of 64 chosen. */
Test(explore_page, grids_point_at_results)
{
    static const char *const forms[] = {"chunked", "chunked", "recurrent"};
    ExploreTable t = table_new();
    struct json_object *data = explore_json(&t), *grids = json_at(data, "grids");
    cr_assert_eq(json_object_array_length(grids), 4u, "by type and length");
    for (int p = 0; p < 4; p++) {
        struct json_object *grid = json_nth(grids, p);
        cr_expect_eq(json_object_get_boolean(json_at(grid, "main")), p % 2, "the longer prompts");
        for (int s = 0; s < 3; s++) {
            const int64_t state = 16 << 2 * s;
            const int best = json_object_get_int(json_nth(json_at(grid, "best"), s)),
                      chosen = json_object_get_int(json_nth(json_at(grid, "chosen"), s));
            cr_expect_eq(json_object_get_int64(json_nth(json_at(grid, "states"), s)), state);
            cr_expect_eq(t.rows[best].chunk, 32);
            cr_expect_eq(t.rows[chosen].chunk, 64);
            for (int l = 0; l < 3; l++) {
                struct json_object *cells = json_nth(json_at(grid, "cells"), l);
                const ExploreRow *row = &t.rows[json_object_get_int(json_nth(cells, s))];
                cr_expect_eq(row->state, state);
                cr_expect_eq(row->tokens, p % 2 ? 2048 : 512);
                cr_expect_str_eq(row->dtype, p < 2 ? "bf16" : "f32");
                cr_expect_str_eq(row->form, forms[l]);
                cr_expect_str_eq(
                    json_object_get_string(json_at(json_nth(json_at(grid, "lines"), l), "form")),
                    forms[l]);
            }
        }
    }
    struct json_object *choices = json_at(json_at(data, "choices"), "list");
    cr_assert_eq(json_object_array_length(choices), 12u);
    for (int i = 0; i < 12; i++)
        cr_expect_float_eq(json_object_get_double(json_at(json_nth(choices, i), "behind")), 0.1,
                           1e-6);
    json_object_put(data);
}

Test(explore_page, is_readable_without_its_script)
{
    ExploreTable t = table_new();
    char *page = page_of(&t);
    expect_has(page, "<noscript>");
    expect_has(page, "within 5 % of the fastest that was measured in 0 of 12 cases");
    expect_has(page, "off by 9.1 % in the median of 36 points");
    expect_has(page, "<th scope=\"col\">prefill_tps</th>");
    expect_has(page, "<td>4705.9</td>"); /* 5000 / (1 + 16 / 256) */
    expect_has(page, "<td class=\"text\">recurrent</td>");
    expect_has(page, "<th scope=\"col\">memory read, GB/s</th>");
    cr_expect_eq(text_count(page, "<table>"), 2, "results, ceilings");
    cr_expect_eq(text_count(page, "<tr>"), 1 + t.nrows + 1 + 1);
    cr_expect_eq(text_count(page, "role=\"region\" tabindex=\"0\""), 2);
    cr_expect_eq(text_count(page, "<caption>"), 2);
    cr_expect_eq(text_count(page, "<details"), text_count(page, "<summary>"));
    expect_has(page, "prefers-color-scheme: dark");
    expect_has(page, "@media print");
    expect_has(page, "name=\"viewport\"");
    expect_has(page, "lang=\"en\"");
    free(page);
}

/* Results come from files that may hold anything. */
static const char *const bad[] = {
    "<script>alert(1)</script>",
    "</script><img alt=x onerror=alert(1)>",
    "<!--<script>",
    "a & b \"c\" \x01 \x1b[2J",
    ":::::",
    "prefill:::::",
    "prefill:ssd:1:1:1",
    "prefill:ssd:1:nan:inf:-1 decode:x:99999999999999999999:1e999:1:1",
    "prefill:a_name_that_is_far_too_long_for_any_kernel_of_ours:1:1:1:1",
};

static ExploreTable
table_hostile(const char *text)
{
    ExploreTable t = table_new();
    t.head[HEAD_model] = t.head[HEAD_weights] = text;
    for (int r = 0; r < t.nrows; r++)
        t.rows[r].kernels = t.rows[r].dtype = text;
    t.rows[0].status = t.rows[1].form = t.rows[2].why = text;
    t.rows[3].prefill_tps = 0;
    t.rows[4].prefill_tps = 1e300;
    t.rows[5].heads = INT64_MAX;
    t.rows[6].memory_bytes = 0;
    t.rows[7].prefill_tps = NAN;
    t.ceilings[0] = (BenchCeilings){.threads = 2};
    return t;
}

Test(explore_page, hostile_results)
{
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const ExploreTable t = table_hostile(bad[i]);
        StrBuf page = {0};
        explore_put_page(&page, &t);
        const char *escaped = strchr(bad[i], '<') ? "\\u003c" : "\"rows\"";
        expect_has(page.text, escaped);
        cr_expect_eq(text_count(page.text, "<img"), 0);
        cr_expect_eq(text_count(page.text, "<!--"), 0);
        struct json_object *data = page_data(page.text);
        cr_expect_str_eq(json_object_get_string(json_at(data, "model")), bad[i]);
        json_object_put(data);
        sb_free(&page);
    }
}

Test(explore_page, little_and_nothing)
{
    ExploreTable t = table_new();
    const int all = t.nrows;
    for (int rows = 0; rows < 8; rows++) {
        t.nrows = rows;
        free(page_of(&t));
    }
    t.nrows = all;
    for (int i = 0; i < all; i++) {
        t.rows[i].status = explore_unmeasured;
        t.rows[i].why = "the budget was over";
        t.rows[i].prefill_tps = t.rows[i].decode_tps = t.rows[i].error = NAN;
    }
    char *page = page_of(&t);
    expect_has(page, "nothing was measured");
    cr_expect_eq(text_count(page, "<td class=\"text\">the budget was over</td>"), 36);
    free(page);
}

/* ---- a browser ----------------------------------------------------------------------------- */

/* Numbers of layers of attention, the last of attention alone: reading and decoding of either type.
 */
Test(explore_page, a_browser_draws_layers_of_attention)
{
    ExploreTable t = table_new(), more = {.arena = t.arena};
    memcpy(more.head, t.head, sizeof more.head);
    more.ceilings[0] = t.ceilings[0];
    more.nceilings = 1;
    for (int64_t n = 0; n <= 2; n++)
        for (int i = 0; i < t.nrows; i++) {
            ExploreRow row = t.rows[i];
            row.attention = n;
            row.prefill_tps = 1000 * (double)(n + 1);
            if (n == 2) {
                row.state = row.head_dim = row.groups = row.heads = row.chunk = -1;
                row.form = explore_no_form;
            }
            if (n < 2 || !explore_find(&more, &row))
                explore_add(&more, &row);
        }
    char *page = page_of(&more), *drawn = page_drawn(page, NULL, 800, 600);
    expect_has(page,
               "<li>Layers of attention, bf16, 2 threads, prompts of 2048 tokens: 0 (N=256) ");
    expect_has(
        drawn,
        ">Speed against layers of attention: bf16, 2 threads, prompts of 2048 tokens</title>");
    expect_has(drawn, ">Speed against layers of attention: f32, 2 threads, decoding</title>");
    expect_has(drawn, "<title>2 of attention, no SSD, none, 2048 tokens: 3000 tokens/s</title>");
    cr_expect_eq(text_count(drawn, ">Speed against layers of attention: "), 4);
    cr_expect_eq(text_count(drawn, "NaN") + text_count(drawn, "undefined"), 0);
    free(drawn);
    free(page);
}

/* Wide and high as asked, and not a blank: blank pages compress to a few kilobytes. */
static void
expect_picture(const char *path, unsigned width, unsigned height)
{
    enum { LEAST = 30000 };
    size_t len = 0;
    unsigned char *png = (unsigned char *)read_whole(path, &len);
    cr_assert_not_null(png, "the browser has written nothing");
    cr_assert_gt(len, (size_t)LEAST, "%zu bytes", len);
    cr_expect_eq(memcmp(png, "\x89PNG", 4), 0);
    cr_expect_eq((unsigned)png[18] << 8 | png[19], width);
    cr_expect_eq((unsigned)png[22] << 8 | png[23], height);
    free(png);
}

Test(explore_page, a_browser_draws_every_chart_with_words_and_a_table)
{
    const ExploreTable t = table_new();
    char *dir = temp_dir(), *png = path_join(dir, "e.png"), *page = page_of(&t);
    char *drawn = page_drawn(page, png, 1280, 2400);
    const int pictures = text_count(drawn, "role=\"img\""), figures = text_count(drawn, "<figure>");
    /* Maps, states: one a grid; decoding, predictions: one; lengths, memory, kernels: one a type.
     */
    cr_expect_eq(figures, 4 + 4 + 1 + 2 + 2 + 2 + 1);
    cr_expect_eq(pictures, figures + 2, "kernels have two pictures a figure");
    cr_expect_eq(text_count(drawn, "<title id="), pictures);
    cr_expect_eq(text_count(drawn, "<desc id="), pictures);
    cr_expect_eq(text_count(drawn, "<figcaption>"), figures);
    cr_expect_eq(text_count(drawn, "<table>"), figures + 4, "choices, errors, all, ceilings");
    cr_expect_eq(text_count(drawn, "<table>"), text_count(drawn, "<caption>"));
    cr_expect_eq(text_count(drawn, "<details"), text_count(drawn, "<summary>"));
    cr_expect_eq(text_count(drawn, "role=\"region\" tabindex=\"0\""), figures + 4);
    cr_expect_eq(text_count(drawn, "class=\"cell\""), 36, "a cell for each point");
    cr_expect_eq(text_count(drawn, "class=\"chosen\""), 12, "a frame for each state of each grid");
    cr_expect_eq(text_count(drawn, " best\""), 12);
    cr_expect_eq(text_count(drawn, "class=\"miss\""), 12, "10 %% behind");
    expect_has(drawn, ">N=16</text>");
    expect_has(drawn, ">Q=32</text>");
    expect_has(drawn, ">state size N</text>");
    expect_has(drawn, ">2K</text>");
    expect_has(drawn, ">measured, tokens/s</text>");
    expect_has(drawn, ">peak 1050 Gop/s</text>");
    expect_has(drawn, "<title>N=16, Q=32: 4706 tokens/s, spread 2.0 %</title>");
    expect_has(drawn,
               "<title>in_proj (prefill), N=16: 908.2 Gop/s, 6.239 GB/s, 146 op/byte</title>");
    expect_has(drawn, "<title>bf16, N=16, Q=32, 512 tokens: predicted 5176, measured 4706</title>");
    cr_expect_eq(text_count(drawn, "NaN") + text_count(drawn, "undefined"), 0);
    expect_picture(png, 1280, 2400);
    temp_dir_remove(dir);
    free(drawn);
    free(page);
    free(png);
}

Test(explore_page, a_browser_draws_hostile_results_as_text)
{
    ExploreTable t = table_hostile(bad[1]);
    for (int i = 0; i < t.nrows; i++)
        t.rows[i].kernels = bad[i % (int)COUNT_OF(bad)];
    char *page = page_of(&t), *drawn = page_drawn(page, NULL, 800, 600);
    cr_expect_eq(text_count(drawn, "<img"), 0);
    cr_expect_gt(text_count(drawn, "&lt;/script&gt;&lt;img alt=x"), 10);
    expect_has(drawn, "<h2>What has no numbers</h2>");
    expect_has(drawn, "Distance from float64");
    free(drawn);
    free(page);
}
