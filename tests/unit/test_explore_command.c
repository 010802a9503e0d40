/* tests/unit/test_explore_command.c -- ssmc explore as its users call it. No test looks at a time:
 * machines that run tests are busy. */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/driver.h"
#include "explore/explore.h"
#include "tests/harness.h"
#include "tests/model_run.h"
#include "tests/page.h"

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char tiny[] = "name: tiny\nvocab: 64\ndim: 32\nlayers:\n"
                           "  - {block: mamba2, repeat: 2, state: 16, head_dim: 32}\n"
                           "weights: {init: reference, seed: 0}\n";

/* Lines of a file of results with one row: a head, the ceilings of one number of threads, the names
 * of columns, and that row. */
enum { FIRST_ROW = 1 + HEAD_COUNT + 3 };

/* A model and a place for results. */
typedef struct {
    char *dir, *model, *csv;
} Spot;

/* Constants of this machine, as if ssmc tune had measured them, by which the recurrence is the
 * fastest form: what the compiler chooses must not depend on the machine that runs the test. */
static void
prefer_the_recurrence(const char *dir)
{
    Arena *arena = arena_new();
    Machine machine;
    const char *why = NULL;
    cr_assert(cg_machine(arena, "native", &machine, &why), "%s", why);
    machine.costs.term[COST_chunked_f32][COST_call] = 1e9;
    machine.costs.term[COST_chunked_bf16][COST_call] = 1e9;
    setenv("XDG_CACHE_HOME", dir, 1);
    cr_assert(costs_write(arena, costs_path(arena, &machine), &machine, &why), "%s", why);
    arena_free(arena);
}

static Spot
spot_new(const char *yaml)
{
    Spot p = {.dir = temp_dir()};
    prefer_the_recurrence(p.dir);
    p.model = path_join(p.dir, "m.yaml");
    p.csv = path_join(p.dir, "r.csv");
    cr_assert(write_whole(p.model, yaml, strlen(yaml)));
    return p;
}

static void
spot_end(Spot *p)
{
    temp_dir_remove(p->dir);
    free(p->model);
    free(p->csv);
}

/* The command over two by two points, with `more`; signal: what it is sent once its results have
 * `lines` lines, or 0. */
static CommandResult
explore_until(const Spot *p, int signal, int lines, const char *const *more)
{
    const char *argv[48] = {SSMC_BINARY, "explore",   p->model,    "--chunk", "16,32",
                            "--state",   "8,16",      "--threads", "1",       "--tokens",
                            "40",        "--repeats", "2",         "--csv",   p->csv};
    size_t n = 0;
    while (argv[n])
        n++;
    for (size_t i = 0; more[i]; i++)
        argv[n++] = more[i];
    return signal ? command_signalled(argv, signal, p->csv, lines) : command_run(argv, NULL, 0);
}

static CommandResult
explore(const Spot *p, const char *const *more)
{
    return explore_until(p, 0, 0, more);
}

static ExploreTable
results(const char *path)
{
    ExploreTable t = {.arena = arena_new()};
    const char *why = NULL;
    size_t len = 0;
    char *text = read_whole(path, &len);
    cr_assert_not_null(text, "%s is not there", path);
    cr_assert(explore_read_csv(text, len, &t, &why), "%s", why);
    free(text);
    return t;
}

/* Chunks 16 and 32 and the recurrence (which is chosen) of states 8 and 16, in order. */
static void
expect_points(const ExploreTable *t)
{
    static const int64_t chunk[] = {16, 32, -1};
    cr_assert_eq(t->nrows, 6, "%d rows", t->nrows);
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(t->rows[i].state, i < 3 ? 8 : 16);
        cr_expect_eq(t->rows[i].chunk, chunk[i % 3]);
        cr_expect_str_eq(t->rows[i].form, chunk[i % 3] > 0 ? "chunked" : "recurrent");
    }
}

static void
expect_numbers(const ExploreRow *r)
{
    cr_expect_str_eq(r->status, explore_ok, "%s: %s", r->status, r->why);
    cr_expect_eq(r->repeats, 2);
    cr_expect_eq(r->head_dim, 32);
    cr_expect_eq(r->heads, 2);
    cr_expect_eq(r->layers, 2);
    cr_expect(r->prefill_tps > 0 && r->decode_tps > 0 && r->compile_ms > 0);
    cr_expect(r->prefill_share > 0 && r->peak_gops > 0);
    cr_expect(r->decode_share > 0 && r->read_gbs > 0);
    cr_expect_geq(r->prefill_spread, 0);
    cr_expect(isfinite(r->drift));
    cr_expect_gt(r->anchor_tps, 0);
    cr_expect_eq(r->state_bytes,
                 r->state == 8 ? 2 * 4 * (2 * 8 * 32 + 3 * 80) : 2 * 4 * (2 * 16 * 32 + 3 * 96));
    cr_expect_gt(r->memory_bytes, r->weight_bytes + r->state_bytes);
    cr_expect_gt(r->flops, r->recurrent_flops);
    cr_expect_gt(r->bytes, 0);
    cr_expect_gt(r->predicted_tps, 0);
    cr_expect_eq(r->error_tokens, 32 + 45, "longer than the longest chunk");
    cr_expect(r->error > 0 && r->error < 1e-5, "f32 is %g from float64", r->error);
    cr_expect(strstr(r->kernels, "prefill:in_proj:2:") && strstr(r->kernels, "decode:ssd:2:"),
              "kernels: %s", r->kernels);
}

Test(explore_command, every_point_once)
{
    Spot p = spot_new(tiny);
    char *html = path_join(p.dir, "e.html");
    CommandResult r = explore(&p, ARGS("--json", "--html", html));
    cr_assert_eq(r.status, 0, "%s", r.err);
    char *page = read_whole(html, NULL);
    cr_assert_not_null(page);
    struct json_object *data = page_data(page), *printed = json_tokener_parse(r.out);
    cr_expect(json_object_equal(data, printed), "the page holds what --json prints");
    json_object_put(data);
    json_object_put(printed);
    free(page);
    free(html);
    ExploreTable t = results(p.csv);
    expect_points(&t);
    for (int i = 0; i < t.nrows; i++) {
        expect_numbers(&t.rows[i]);
        cr_expect_eq(t.rows[i].chosen, t.rows[i].chunk < 0, "f32 on AVX-512 and AVX2 scans");
    }
    struct json_object *root = json_tokener_parse(r.out), *rows = NULL, *cell = NULL;
    cr_assert_not_null(root, "not JSON:\n%s", r.out);
    cr_assert(json_object_object_get_ex(root, "rows", &rows));
    cr_assert_eq(json_object_array_length(rows), 6u);
    cr_assert(json_object_object_get_ex(json_object_array_get_idx(rows, 4), "chunk", &cell));
    cr_expect_eq(json_object_get_int(cell), 32);
    json_object_put(root);
    command_free(&r);
    spot_end(&p);
}

/* Ctrl-C, passed on twice at once as some programs do: what is there is written and shown. */
Test(explore_command, interrupted)
{
    Spot p = spot_new(tiny);
    CommandResult r =
        explore_until(&p, SIGINT, FIRST_ROW, ARGS("--repeats", "9", "--tokens", "20000"));
    cr_expect_eq(r.status, 1, "status %d", r.status);
    cr_expect(strstr(r.err, "rows are not measured; --resume goes on"), "%s", r.err);
    cr_expect(strstr(r.out, "recurrent"), "the table is shown: %s", r.out);
    ExploreTable t = results(p.csv);
    expect_points(&t);
    cr_expect_str_eq(t.rows[5].status, explore_unmeasured);
    cr_expect_str_eq(t.rows[5].why, "interrupted");
    command_free(&r);
    spot_end(&p);
}

/* Ctrl-C at some moment, then a kill without warning at another; what was measured stays to the
 * letter, and in the end every point is there once. */
Test(explore_command, interrupted_and_gone_on_with)
{
    static const int rows[] = {1, 2, 4};
    Spot p = spot_new(tiny);
    char *before = NULL;
    for (int i = 0; i < 3; i++) {
        const bool there = access(p.csv, F_OK) == 0;
        CommandResult r = explore_until(&p, i == 1 ? SIGKILL : SIGINT, FIRST_ROW + rows[i] - 1,
                                        there ? ARGS("--resume") : ARGS(NULL));
        cr_expect(r.status == 0 || r.status == 1 || r.status == 137 || r.status == 130,
                  "status %d: %s", r.status, r.err);
        command_free(&r);
        if (access(p.csv, F_OK) != 0)
            continue;
        ExploreTable t = results(p.csv);
        for (int k = 0; k < t.nrows; k++)
            for (int m = 0; m < k; m++)
                cr_expect_neq(explore_row_order(&t.rows[k], &t.rows[m]), 0, "a point twice");
        free(before);
        before = read_whole(p.csv, NULL);
    }
    CommandResult r = explore(&p, before ? ARGS("--resume") : ARGS(NULL));
    cr_assert_eq(r.status, 0, "%s", r.err);
    ExploreTable t = results(p.csv), old = {.arena = arena_new()};
    const char *why = NULL;
    expect_points(&t);
    for (int i = 0; i < t.nrows; i++)
        expect_numbers(&t.rows[i]);
    if (before)
        cr_assert(explore_read_csv(before, strlen(before), &old, &why), "%s", why);
    for (int i = 0; i < old.nrows; i++) {
        const ExploreRow *now = explore_find(&t, &old.rows[i]);
        cr_assert_not_null(now);
        if (explore_is_ok(&old.rows[i]))
            cr_expect_eq(now->prefill_tps, old.rows[i].prefill_tps, "measured again");
    }
    free(before);
    command_free(&r);
    spot_end(&p);
}

/* What cannot be built, what does not fit, and what there was no time for have their rows. */
Test(explore_command, no_point_is_dropped)
{
    Spot p = spot_new("name: large\nvocab: 4194304\ndim: 65536\nlayers:\n"
                      "  - {block: mamba2, state: 16, head_dim: 64}\n");
    CommandResult r =
        command_run(ARGS(SSMC_BINARY, "explore", p.model, "--chunk", "16", "--form", "chunked",
                         "--head-dim", "64,96", "--threads", "1", "--csv", p.csv),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    ExploreTable t = results(p.csv);
    cr_assert_eq(t.nrows, 3, "Q=16, what is chosen, and 96 channels");
    for (int i = 0; i < 3; i++) {
        const ExploreRow *row = &t.rows[i];
        const bool built = row->head_dim == 64;
        const char *says = built ? "GiB of memory, and" : "not a multiple of head_dim = 96";
        cr_expect_str_eq(row->status, built ? explore_no_room : explore_unbuilt);
        cr_expect(strstr(row->why, says), "%s", row->why);
    }
    cr_expect_str_eq(t.head[HEAD_weights], "random, by the reference initialisation");
    cr_expect(strstr(r.out, "N=16 P=96 G=1 f32 Q=16: cannot be built: inner = 131072"), "%s",
              r.out);
    command_free(&r);
    spot_end(&p);
}

/* Parameters of a model whose state grows stay within half a head's worth. */
Test(explore_command, a_budget_is_held)
{
    Spot p = spot_new("name: held\nvocab: 16\ndim: 64\nlayers:\n"
                      "  - {block: mamba2, state: 16, head_dim: 8}\n");
    CommandResult r =
        command_run(ARGS(SSMC_BINARY, "explore", p.model, "--chunk", "16", "--state", "16,64",
                         "--hold", "params", "--budget", "1", "--csv", p.csv),
                    NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    ExploreTable t = results(p.csv);
    cr_assert_eq(t.nrows, 4);
    /* A head: 2 * 8 + 1 rows of in_proj, 8 columns of out_proj, and its small weights. */
    const double head = 64 * (2 * 8 + 1) + 64 * 8 + 5 * 8 + 8 + 3;
    const double off = (double)(t.rows[3].parameters - t.rows[0].parameters);
    cr_expect_eq(t.rows[0].heads, 16, "as described");
    cr_expect_lt(t.rows[3].heads, 16);
    cr_expect_leq(fabs(off), head / 2, "%g parameters off", off);
    command_free(&r);
    spot_end(&p);
}

/* ---- faults -------------------------------------------------------------------------------- */

static void
expect_fault(const char *const *args, int status, const char *says)
{
    CommandResult r = command_run(args, NULL, 0);
    cr_expect_eq(r.status, status, "status %d: %s", r.status, r.err);
    cr_expect(strstr(r.err, says), "stderr lacks '%s':\n%s", says, r.err);
    cr_expect_eq(r.out_len, 0u, "%s", r.out);
    command_free(&r);
}

#define FAULT(says, ...) expect_fault(ARGS(SSMC_BINARY, "explore", p.model, __VA_ARGS__), 2, says)

Test(explore_command, bad_options)
{
    Spot p = spot_new(tiny);
    FAULT("unknown option '--stat'; the nearest known one is --state", "--stat", "16");
    FAULT("--state is an empty list", "--state", "");
    FAULT("--threads is an empty list", "--threads", "");
    FAULT("--state wants up to 32 whole numbers from 1 to 65536", "--state", "16,99999999999");
    FAULT("--chunk wants up to 32 whole numbers", "--chunk", "16,,32");
    FAULT("--tokens wants up to 32 whole numbers from 1 to 16777216", "--tokens", "0");
    FAULT("--dtype wants f32, f16, bf16, int8, int4 or stored, separated by commas", "--dtype",
          "f32,f64");
    FAULT("--form wants recurrent, chunked or quadratic", "--form", "chunky");
    FAULT("--hold wants params, state or none, not 'layers'", "--hold", "layers");
    FAULT("--budget wants a time from 1s to 30 days", "--budget", "10x");
    FAULT("--budget wants a time from 1s to 30 days", "--budget", "nan");
    FAULT("--repeats must be 1 to", "--repeats", "0");
    FAULT("--resume goes on with a file: say which with --csv", "--resume");
    const char *many = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24";
    FAULT("these axes make 15552 points and 15552 rows; at most 10000", "--state", many, "--groups",
          many, "--chunk", many);
    FAULT("no layer's block has a parameter 'stat'", "--set", "layers.*.stat=4");
    spot_end(&p);
}

/* Layers of attention as an axis: of a model without any, of all of one, and of more than there
 * are; what is measured is gone on with. */
Test(explore_command, layers_of_attention)
{
    Spot p =
        spot_new("name: tiny\nvocab: 64\ndim: 64\nlayers: {block: attention, heads: 2, repeat: 3}\n"
                 "weights: {init: reference, seed: 0}\n");
    const char *const argv[] = {SSMC_BINARY, "explore",   p.model,    "--attention", "0,1,3,4",
                                "--state",   "8,16",      "--form",   "recurrent",   "--tokens",
                                "40",        "--threads", "1",        "--repeats",   "2",
                                "--csv",     p.csv,       "--resume", NULL};
    CommandResult r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    cr_expect(strstr(r.out, "Layers of attention, f32, 1 thread, prompts of 40 tokens: 0 (N=16) "),
              "%s", r.out);
    cr_expect(strstr(r.out,
                     "attention=4 f32 recurrent: cannot be built: attention = 4, but the model "
                     "has 3 layers"),
              "%s", r.out);
    command_free(&r);
    static const struct {
        int64_t attention, state, ssds;
    } want[] = {
        {0, 8,  3 },
        {0, 16, 3 },
        {1, 8,  2 },
        {1, 16, 2 },
        {3, -1, 0 },
        {4, 8,  -1},
        {4, 16, -1}
    };
    ExploreTable t = results(p.csv);
    cr_assert_eq(t.nrows, 7, "%d rows", t.nrows);
    for (int i = 0; i < 7; i++) {
        const ExploreRow *row = &t.rows[i];
        cr_expect_eq(row->attention, want[i].attention);
        cr_expect_eq(row->state, want[i].state);
        cr_expect_eq(row->layers, want[i].ssds);
        cr_expect_str_eq(row->form, want[i].ssds == 0 ? explore_no_form : "recurrent");
        cr_expect_str_eq(row->status, i < 5 ? explore_ok : explore_unbuilt, "%s", row->why);
        if (i < 5)
            cr_expect(row->error > 0 && row->error < 1e-5, "f32 is %g from float64: %s", row->error,
                      row->why);
    }
    char *before = read_whole(p.csv, NULL);
    r = command_run(argv, NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    char *after = read_whole(p.csv, NULL);
    cr_expect_str_eq(before, after, "nothing was measured again");
    command_free(&r);
    free(before);
    free(after);
    FAULT("--attention wants up to 32 whole numbers from 0 to 1024", "--attention", "-1");
    spot_end(&p);
}

Test(explore_command, models_that_cannot_be_explored)
{
    Spot p = spot_new("name: none\nvocab: 16\ndim: 8\nblocks:\n  - block: double\n"
                      "    weights: {w: {shape: [dim], init: ones}}\n    ops: [h = h + h * w]\n"
                      "layers: [{block: double}]\n");
    char *ir = path_join(p.dir, "m.ir");
    FAULT("has no SSD: there is nothing to explore", "--chunk", "16");
    expect_fault(ARGS(SSMC_BINARY, "explore", ir), 2, "its sizes are fixed");
    expect_fault(ARGS(SSMC_BINARY, "explore"), 2, "which model?");
    free(ir);
    spot_end(&p);
}

Test(explore_command, files_that_cannot_be_written)
{
    Spot p = spot_new(tiny);
    cr_assert(write_whole(p.csv, "mine\n", 5));
    FAULT("is there already: --resume goes on with it", "--csv", p.csv);
    FAULT("these are no results of ssmc explore", "--csv", p.csv, "--resume");
    expect_fault(ARGS(SSMC_BINARY, "explore", p.model, "--csv", "/dev/full"), 1,
                 "cannot write /dev/full: No space left on device");
    char *other = path_join(p.dir, "other.csv");
    expect_fault(ARGS(SSMC_BINARY, "explore", p.model, "--csv", other, "--html", p.dir), 1,
                 "Is a directory");
    expect_fault(
        ARGS(SSMC_BINARY, "explore", p.model, "--csv", other, "--html", "/dev/null/e.html"), 1,
        "cannot write /dev/null/e.html: Not a directory");
    cr_expect_neq(access(other, F_OK), 0, "nothing is begun that could not be ended");
    char *after = read_whole(p.csv, NULL);
    cr_expect_str_eq(after, "mine\n");
    free(after);
    free(other);
    spot_end(&p);
}

/* A page for which there is no room any more when it is due: what was measured is kept and shown.
 */
Test(explore_command, a_page_that_fails_in_the_end)
{
    Spot p = spot_new(tiny);
    CommandResult r = explore(&p, ARGS("--html", "/dev/full"));
    cr_expect_eq(r.status, 1, "status %d", r.status);
    cr_expect(strstr(r.err, "cannot write /dev/full: No space left on device"), "%s", r.err);
    cr_expect(strstr(r.out, "recurrent"), "the table is shown: %s", r.out);
    ExploreTable t = results(p.csv);
    expect_points(&t);
    for (int i = 0; i < t.nrows; i++)
        expect_numbers(&t.rows[i]);
    command_free(&r);
    spot_end(&p);
}

/* ---- borrowed weights ----------------------------------------------------------------------- */

/* A program with another form borrows what the first packed, and computes what it would alone. */
Test(explore_command, programs_share_packed_weights)
{
    enum { TOKENS = 70, VOCAB = 2048 };
    int32_t ids[TOKENS];
    static float alone[VOCAB], beside[VOCAB];
    ModelRun *a = MODEL_RUN(STORYTELLER, "--form", "recurrent");
    ModelRun *b = MODEL_RUN(STORYTELLER, "--form", "chunked", "--chunk", "32");
    ModelRun *c = MODEL_RUN(STORYTELLER, "--dtype", "int8");
    ssmc_model *model = NULL, *other = NULL;
    ssmc_session *own = model_run_session(b, 1, 1), *borrowed = NULL;
    model_run_ids(a, 1, ids, TOKENS);
    cr_assert_eq(
        rt_model_beside(model_run_program(b), model_run_weights(b), model_run_model(a), &model),
        SSMC_OK);
    cr_assert_not_null(model, "forms do not change how weights are packed");
    cr_expect_eq(rt_model_params(model), rt_model_params(model_run_model(a)));
    cr_assert_eq(ssmc_session_open(model, 1, 1, &borrowed), SSMC_OK);
    cr_assert_eq(ssmc_prefill(own, 0, ids, TOKENS, alone), SSMC_OK);
    cr_assert_eq(ssmc_prefill(borrowed, 0, ids, TOKENS, beside), SSMC_OK);
    cr_expect_arr_eq(alone, beside, sizeof alone);
    cr_assert_eq(
        rt_model_beside(model_run_program(c), model_run_weights(c), model_run_model(a), &other),
        SSMC_OK);
    cr_expect_null(other, "int8 packs otherwise");
    ssmc_session_close(own);
    ssmc_session_close(borrowed);
    ssmc_model_close(model);
    model_run_close(a);
    model_run_close(b);
    model_run_close(c);
}
