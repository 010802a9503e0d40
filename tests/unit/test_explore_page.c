/* tests/unit/test_explore_page.c -- the page of ssmc explore: well-formed, whole in one file,
 * readable without sight of its pictures, and drawn by a browser where there is one. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore/explore.h"
#include "tests/harness.h"
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
    char why[200] = "";
    explore_put_page(&page, t);
    cr_assert(xml_is_well_formed(page.text, why), "%s", why);
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

Test(explore_page, every_picture_has_words_and_a_table)
{
    ExploreTable t = table_new();
    char *page = page_of(&t);
    const int pictures = text_count(page, "role=\"img\""), figures = text_count(page, "<figure>");
    /* Maps, states: one a panel; decoding, predictions: one; lengths, memory, kernels: one a type.
     */
    cr_expect_eq(figures, 4 + 4 + 1 + 2 + 2 + 2 + 1);
    cr_expect_eq(pictures, figures + 2, "kernels have two pictures a figure");
    cr_expect_eq(text_count(page, "<title id="), pictures);
    cr_expect_eq(text_count(page, "<desc id="), pictures);
    cr_expect_eq(text_count(page, "<figcaption>"), figures);
    cr_expect_eq(text_count(page, "<table>"), figures + 4, "choices, errors, all, ceilings");
    cr_expect_eq(text_count(page, "<table>"), text_count(page, "<caption>"));
    cr_expect_eq(text_count(page, "<details"), text_count(page, "<summary>"));
    cr_expect_eq(text_count(page, "class=\"chosen\""), 12, "a frame for each state of each panel");
    cr_expect_eq(text_count(page, " best\""), 12);
    cr_expect_eq(text_count(page, "class=\"miss\""), 12, "10 %% behind");
    expect_has(page, "within 5 % of the fastest that was measured in 0 of 12 cases");
    expect_has(page, "off by 9.1 % in the median of 36 points");
    expect_has(page, "prefers-color-scheme: dark");
    expect_has(page, "@media print");
    expect_has(page, "name=\"viewport\"");
    expect_has(page, "lang=\"en\"");
    free(page);
}

Test(explore_page, needs_nothing_else)
{
    static const char *const reach[] = {"src=",  "href=",   "url(", "@import",
                                        "<link", "<script", "<img", "<iframe"};
    ExploreTable t = table_new();
    char *page = page_of(&t);
    for (size_t i = 0; i < COUNT_OF(reach); i++)
        cr_expect_eq(text_count(page, reach[i]), 0, "%s", reach[i]);
    cr_expect_eq(text_count(page, "http"), text_count(page, "xmlns=\"http://www.w3.org/"));
    free(page);
}

/* Results come from files that may hold anything. */
Test(explore_page, hostile_results)
{
    static const char *const bad[] = {
        "<script>alert(1)</script>",
        "a & b \"c\" \x01 \x1b[2J",
        ":::::",
        "prefill:::::",
        "prefill:ssd:1:1:1",
        "prefill:ssd:1:nan:inf:-1 decode:x:99999999999999999999:1e999:1:1",
        "prefill:a_name_that_is_far_too_long_for_any_kernel_of_ours:1:1:1:1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ExploreTable t = table_new();
        t.head[HEAD_model] = t.head[HEAD_weights] = bad[i];
        for (int r = 0; r < t.nrows; r++)
            t.rows[r].kernels = t.rows[r].dtype = bad[i];
        t.rows[0].status = t.rows[1].form = t.rows[2].why = bad[i];
        t.rows[3].prefill_tps = 0;
        t.rows[4].prefill_tps = 1e300;
        t.rows[5].heads = INT64_MAX;
        t.rows[6].memory_bytes = 0;
        t.ceilings[0] = (BenchCeilings){.threads = 2};
        char *page = page_of(&t);
        cr_expect_eq(text_count(page, "<script"), 0);
        free(page);
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
    expect_has(page, "36 of 36 points");
    expect_has(page, "nothing was measured");
    free(page);
}

/* ---- a browser ----------------------------------------------------------------------------- */

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

Test(explore_page, drawn_by_a_browser)
{
    static const char browser[] = "/usr/bin/chromium";
    if (access(browser, X_OK) != 0)
        cr_skip_test("there is no %s: the page is not drawn", browser);
    ExploreTable t = table_new();
    char *dir = temp_dir(), *html = path_join(dir, "e.html"), *png = path_join(dir, "e.png");
    char *page = page_of(&t);
    cr_assert(write_whole(html, page, strlen(page)));
    CommandResult r =
        command_run((const char *const[]){browser, "--headless", "--no-sandbox", "--disable-gpu",
                                          "--hide-scrollbars", "--force-device-scale-factor=1",
                                          arena_printf(t.arena, "--user-data-dir=%s/profile", dir),
                                          "--window-size=1280,2400",
                                          arena_printf(t.arena, "--screenshot=%s", png),
                                          arena_printf(t.arena, "file://%s", html), NULL},
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    expect_picture(png, 1280, 2400);
    command_free(&r);
    temp_dir_remove(dir);
    free(page);
    free(html);
    free(png);
}
