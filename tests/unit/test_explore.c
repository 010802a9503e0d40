/* tests/unit/test_explore.c -- results of sweeps: the order of measuring, the table as a file and
 * back, files that are not ours, what results say. The command itself: test_explore_command.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore/explore.h"
#include "tests/harness.h"

/* ---- a table ------------------------------------------------------------------------------- */

static void
add(ExploreTable *t, int64_t state, const char *form, int64_t chunk, double tps, bool chosen)
{
    ExploreRow row = explore_row();
    row.attention = 0;
    row.state = state;
    row.head_dim = 64;
    row.groups = 1;
    row.dtype = "bf16";
    row.form = form;
    row.chunk = chunk;
    row.threads = 2;
    row.tokens = 2048;
    row.status = explore_ok;
    row.chosen = chosen;
    row.repeats = 3;
    row.prefill_tps = tps;
    row.prefill_spread = 0.01;
    row.state_bytes = 1 << 20;
    row.decode_tps = 100;
    explore_add(t, &row);
}

static ExploreTable
table_new(void)
{
    ExploreTable t = {.arena = arena_new()};
    for (int id = 0; id < HEAD_COUNT; id++)
        t.head[id] = arena_printf(t.arena, "value %d", id);
    t.nceilings = 1;
    t.ceilings[0] = (BenchCeilings){.threads = 2, .f32 = {.median = 500}, .read = {.median = 48.5}};
    add(&t, 16, "chunked", 16, 1000, true);
    add(&t, 16, "chunked", 64, 1250, false);
    add(&t, 16, "recurrent", -1, 900, false);
    add(&t, 256, "chunked", 64, 750, true);
    add(&t, 256, "recurrent", -1, 450, false);
    return t;
}

/* ---- order --------------------------------------------------------------------------------- */

Test(explore, ends_and_middle_come_first)
{
    static const int five[] = {0, 1, 0, 1, 0}, nine[] = {0, 2, 1, 2, 0, 2, 1, 2, 0};
    for (int i = 0; i < 5; i++)
        cr_expect_eq(explore_level(i, 5), five[i], "%d of 5", i);
    for (int i = 0; i < 9; i++)
        cr_expect_eq(explore_level(i, 9), nine[i], "%d of 9", i);
    cr_expect_eq(explore_level(0, 1), 0);
    cr_expect_eq(explore_level(1, 2), 0);
}

/* ---- the table as text ---------------------------------------------------------------------- */

static char *
csv_of(const ExploreTable *t)
{
    StrBuf text = {0};
    explore_put_csv(&text, t);
    return text.text;
}

Test(explore, csv_and_back)
{
    ExploreTable t = table_new(), back = {.arena = arena_new()};
    const char *why = NULL;
    t.rows[1].why = "say \"64, or 32\",\nplease";
    t.rows[2].error = 0.25;
    char *text = csv_of(&t);
    cr_assert(explore_read_csv(text, strlen(text), &back, &why), "%s", why);
    cr_assert_eq(back.nrows, t.nrows);
    cr_expect_str_eq(back.rows[1].why, "say \"64, or 32\", please", "a line's end becomes a space");
    cr_expect_eq(back.rows[2].error, 0.25);
    cr_expect(isnan(back.rows[0].error), "what is empty stays empty");
    cr_expect_eq(back.rows[2].chunk, -1);
    cr_expect_str_eq(back.head[HEAD_model], t.head[HEAD_model]);
    cr_expect_eq(back.ceilings[0].threads, 2);
    cr_expect_eq(back.ceilings[0].read.median, 48.5);
    t.rows[1].why = back.rows[1].why;
    char *again = csv_of(&back);
    char *diff = text_diff(csv_of(&t), again);
    cr_expect_str_empty(diff);
    free(text);
    free(again);
    free(diff);
}

/* Every cut of a file reads as the rows whose lines are whole, or says what is wrong; none does any
 * harm. */
Test(explore, cut_short_anywhere)
{
    ExploreTable t = table_new();
    char *text = csv_of(&t);
    const size_t len = strlen(text);
    const size_t head = (size_t)(strstr(text, "\n0,16,") - text) + 1;
    for (size_t cut = 0; cut <= len; cut++) {
        ExploreTable back = {.arena = arena_new()};
        const char *why = NULL;
        char *copy = malloc(cut + 1); /* a reader beyond its end is seen by the sanitizer */
        memcpy(copy, text, cut);
        const bool ok = explore_read_csv(copy, cut, &back, &why);
        int lines = 0;
        for (size_t i = head; i < cut; i++)
            lines += text[i] == '\n';
        cr_expect_eq(ok, cut >= head, "cut at %zu of %zu: %s", cut, len, why ? why : "");
        cr_expect_eq(ok, why == NULL);
        if (ok)
            cr_expect_eq(back.nrows, lines, "cut at %zu", cut);
        arena_free(back.arena);
        free(copy);
    }
    free(text);
}

static void
expect_refused(const char *text, const char *from, const char *to, const char *says)
{
    ExploreTable back = {.arena = arena_new()};
    const char *why = "";
    char *other = text_replace(text, from, to);
    cr_assert_str_neq(other, text, "'%s' is not in the file", from);
    cr_expect(!explore_read_csv(other, strlen(other), &back, &why), "%s", to);
    cr_expect(strstr(why, says), "'%s' lacks '%s'", why, says);
    free(other);
    arena_free(back.arena);
}

Test(explore, files_that_are_not_ours)
{
    ExploreTable t = table_new();
    char *text = csv_of(&t);
    expect_refused(text, "# ssmc explore results", "a,b,c", "line 1: these are no results");
    expect_refused(text, "format 3", "format 4", "line 1: results of format 4; this ssmc writes");
    expect_refused(text, "# machine", "# machin", "expected '# machine:'");
    expect_refused(text, "threads=2 ", "threads=0 ", "ceilings that cannot be read");
    expect_refused(text, "read=48.5", "read=fast", "ceilings that cannot be read");
    expect_refused(text, "state,head_dim", "head_dim,state", "columns of another version");
    expect_refused(text, "256,64,1", "256,64,-1", "groups is '-1'; expected a number");
    expect_refused(text, "256,64,1", "256,64", "expected a number");
    expect_refused(text, ",750,", ",7x,", "prefill_tps is '7x'");
    expect_refused(text, "256,64,1,bf16", "256,64,1,\"bf16", "quote that is not closed");
    expect_refused(text, "256,64,1,", "256,64,1,,", "expected a number");
    expect_refused(text, "100,,,,,", "100,,,,,,,,", "more columns than the head");
    free(text);
}

/* ---- the file ------------------------------------------------------------------------------ */

typedef struct {
    char *dir, *path;
} Spot;

static Spot
spot_new(void)
{
    Spot p = {.dir = temp_dir()};
    p.path = path_join(p.dir, "r.csv");
    return p;
}

static void
spot_end(Spot *p)
{
    temp_dir_remove(p->dir);
    free(p->path);
}

Test(explore, a_file_grows_and_is_gone_on_with)
{
    Spot at = spot_new();
    ExploreTable all = table_new(), one = table_new(), two = table_new();
    ExploreFile f;
    const char *why = NULL;
    bool users = false;
    one.nrows = two.nrows = 0;
    cr_assert(explore_file_open(&f, at.path, false, &one, &why, &users), "%s", why);
    cr_assert(explore_file_add(&f, one.arena, &all.rows[0], &why), "%s", why);
    ExploreRow missing = all.rows[1], odd = all.rows[3];
    missing.status = explore_unmeasured;
    odd.status = explore_unbuilt;
    cr_assert(explore_file_add(&f, one.arena, &missing, &why), "%s", why);
    cr_assert(explore_file_add(&f, one.arena, &odd, &why), "%s", why);
    cr_assert_eq(write(f.fd, "256,64,1,bf", 11), 11, "a line that is cut short");
    close(f.fd);
    cr_assert(explore_file_open(&f, at.path, true, &two, &why, &users), "%s", why);
    cr_assert_eq(two.nrows, 2, "what was not measured, and the half line, are to be done again");
    cr_expect_eq(explore_row_order(&two.rows[0], &all.rows[0]), 0);
    cr_expect_eq(explore_row_order(&two.rows[1], &all.rows[3]), 0);
    for (int i = 0; i < all.nrows; i++)
        if (!explore_find(&two, &all.rows[i])) {
            cr_assert(explore_file_add(&f, two.arena, &all.rows[i], &why));
            explore_add(&two, &all.rows[i]);
        }
    cr_assert(explore_file_end(&f, &two, &why), "%s", why);
    char *text = read_whole(at.path, NULL);
    ExploreTable back = {.arena = two.arena};
    cr_assert(explore_read_csv(text, strlen(text), &back, &why), "%s", why);
    cr_expect_eq(back.nrows, all.nrows);
    for (int i = 1; i < back.nrows; i++)
        cr_expect_lt(explore_row_order(&back.rows[i - 1], &back.rows[i]), 0, "in order, each once");
    free(text);
    spot_end(&at);
}

static void
expect_not_opened(const char *path, bool resume, ExploreTable *t, bool of_user, const char *says)
{
    ExploreFile f;
    const char *why = "";
    bool users = !of_user;
    cr_expect(!explore_file_open(&f, path, resume, t, &why, &users));
    cr_expect(strstr(why, says), "'%s' lacks '%s'", why, says);
    cr_expect_eq(users, of_user, "%s", why);
}

Test(explore, files_that_stay_as_they_are)
{
    Spot at = spot_new();
    ExploreTable t = table_new();
    char *text = csv_of(&t);
    cr_assert(write_whole(at.path, text, strlen(text)));
    expect_not_opened(at.path, false, &t, true, "is there already: --resume goes on with it");
    for (int id = 0; id < HEAD_COUNT; id++) {
        ExploreTable other = table_new();
        if (!head_info[id].same)
            continue;
        other.head[id] = "another";
        expect_not_opened(at.path, true, &other, true, "this run's is 'another'. They do not mix");
    }
    char *diff = text_diff(text, read_whole(at.path, NULL));
    cr_expect_str_empty(diff);
    cr_assert(write_whole(at.path, "hello\n", 6));
    expect_not_opened(at.path, true, &t, true, "r.csv, line 1: these are no results of ssmc");
    char *after = read_whole(at.path, NULL);
    cr_expect_str_eq(after, "hello\n");
    expect_not_opened("/dev/full", false, &t, false, "No space left on device");
    expect_not_opened("/dev/null/r.csv", false, &t, false, "Not a directory");
    expect_not_opened(at.dir, false, &t, false, "Is a directory");
    free(text);
    free(diff);
    free(after);
    spot_end(&at);
}

Test(explore, two_runs_do_not_share_a_file)
{
    Spot at = spot_new();
    ExploreTable t = table_new();
    ExploreFile f;
    const char *why = NULL;
    bool users = false;
    t.nrows = 0;
    cr_assert(explore_file_open(&f, at.path, false, &t, &why, &users), "%s", why);
    expect_not_opened(at.path, true, &t, false, "is being written by another run");
    cr_assert(explore_file_end(&f, &t, &why));
    spot_end(&at);
}

/* ---- what they say ------------------------------------------------------------------------- */

static void
expect_says(StrBuf *text, const char *says)
{
    cr_expect(strstr(sb_text(text), says), "'%s' lacks '%s'", sb_text(text), says);
    sb_free(text);
}

Test(explore, grids_and_sentences)
{
    ExploreTable t = table_new();
    ExploreGrid *grids = NULL;
    add(&t, 256, "chunked", 16, NAN, false);
    t.rows[5].status = explore_no_room;
    t.rows[5].why = "it takes 9 GiB";
    add(&t, 16, "chunked", 16, 500, false);
    t.rows[6].dtype = "f32";
    cr_assert_eq(explore_grids(t.arena, &t, &grids), 2, "one for each type");
    const ExploreGrid *p = &grids[0];
    cr_assert_eq(p->nstates, 2);
    cr_assert_eq(p->nlines, 3);
    cr_expect_eq(p->lines[0].chunk, 16);
    cr_expect_eq(p->lines[1].chunk, 64);
    cr_expect_str_eq(p->lines[2].form, "recurrent");
    cr_expect_eq(grid_at(p, 0, 1), &t.rows[5]);
    cr_expect_eq(grid_best(p, 0, NULL), &t.rows[1]);
    cr_expect_eq(grid_best(p, 1, "recurrent"), &t.rows[4]);
    cr_expect_eq(grid_chosen(p, 0), &t.rows[0]);
    const ExploreChoices c = explore_choices(t.arena, grids, 2);
    cr_assert_eq(c.count, 2);
    cr_expect_eq(c.within5, 1);
    cr_expect_eq(c.within15, 1);
    cr_expect_float_eq(c.all[0].behind, 0.2, 1e-12, "the worst first");
    StrBuf text = {0};
    explore_say_choices(&text, &c);
    expect_says(&text, "in 1 of 2 cases, within 15 % in 1; at worst it is 20.0 % behind");
    explore_say_best(&text, p);
    expect_says(&text, "N=16 Q=64 (1250 tokens/s); N=256 Q=64 (750 tokens/s)");
    explore_say_fall(&text, p);
    expect_says(&text, "a state 16 times as large, the chunked form at its best chunk length loses "
                       "40 % of its speed (1250 to 750 tokens/s); the recurrent form loses 50 %");
    explore_say_noise(&text, &t);
    expect_says(&text, "spread by less than 1.0 %");
    for (int i = 0; i < t.nrows; i++)
        t.rows[i].anchor_tps = 90 + 10 * (i < 2 ? i : 2);
    explore_say_noise(&text, &t);
    expect_says(&text, "was between -18.2 % and +0.0 % of its median");
    explore_put_text(&text, &t);
    expect_says(&text, "N=256 P=64 G=1 bf16 Q=16: does not fit: it takes 9 GiB");
}

/* ---- layers of attention -------------------------------------------------------------------- */

/* Grids of different numbers of them, the last of attention alone; what is not compared: another
 * type, a smaller state, a shorter prompt. */
static ExploreTable
hybrids_new(void)
{
    ExploreTable t = {.arena = arena_new()};
    for (int64_t n = 0; n <= 4; n += 2) {
        add(&t, n == 4 ? -1 : 64, n == 4 ? explore_no_form : "recurrent", -1,
            1000 + 100.0 * (double)n, true);
        t.rows[t.nrows - 1].attention = n;
        if (n == 4)
            t.rows[t.nrows - 1].head_dim = t.rows[t.nrows - 1].groups = -1;
    }
    add(&t, 16, "recurrent", -1, 5000, true);
    t.rows[3].attention = 2;
    add(&t, 64, "chunked", 16, 900, false);
    t.rows[4].attention = 2;
    add(&t, 64, "recurrent", -1, 7000, true);
    t.rows[5].attention = 2;
    t.rows[5].tokens = 512;
    return t;
}

Test(explore, layers_of_attention_are_compared)
{
    ExploreTable t = hybrids_new();
    ExploreGrid *grids = NULL;
    StrBuf text = {0};
    cr_assert_eq(explore_grids(t.arena, &t, &grids), 4, "three numbers of layers, and a length");
    grid_title(&text, &grids[1], false);
    cr_expect_str_eq(sb_text(&text), "bf16, P=64, G=1, 2 of attention, 2 threads");
    sb_free(&text);
    grid_title(&text, &grids[2], false);
    cr_expect_str_eq(sb_text(&text), "bf16, 4 of attention, 2 threads");
    sb_free(&text);
    explore_say_attention(&text, &t, "bf16");
    expect_says(&text,
                "Layers of attention, bf16, 2 threads, prompts of 2048 tokens: 0 (N=64) 1000 "
                "tokens/s, decoding 100.0, state 1.00 MiB; 2 (N=64) 1200 tokens/s, decoding "
                "100.0, state 1.00 MiB; 4 (no SSD) 1400 tokens/s, decoding 100.0, state "
                "1.00 MiB.");
    explore_say_best(&text, &grids[2]);
    expect_says(&text, "Fastest: no SSD (1400 tokens/s).");
    explore_say_attention(&text, &t, "f32");
    cr_expect_eq(text.len, 0u, "nothing of that type");
    const ExploreChoices c = explore_choices(t.arena, grids, 4);
    cr_expect_eq(c.count, 4, "attention alone has nothing to choose");
    explore_put_text(&text, &t);
    expect_says(&text, "Layers of attention, bf16");
    t.nrows = 1;
    explore_say_attention(&text, &t, "bf16");
    cr_expect_eq(text.len, 0u, "one number alone is no comparison");
}
