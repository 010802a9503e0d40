/* tests/unit/test_experts.c -- mixtures of experts: what routes choose, projections whose rows have
 * experts in every type of weight, on vectors and on the matrix unit, by several threads, against
 * the interpreter; and how an expert without rows, or with all of them, fares. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "bench/bench.h"
#include "passes/cost.h"
#include "tests/kernel_run.h"
#include "tests/model_run.h"

enum { ROWS = 72 };

static const char *const cpus[] = {"native", "x86-64-v4", "x86-64-v3", "x86-64", "generic"};
static const char *const unit_cpus[] = {"native+model", "x86-64-v3+model", "native"};

typedef enum { F32, F16, BF16, X3, I8, U4 } Kind; /* X3: f32 as sums of two bf16 */
static const char *const kind_name[] = {"f32", "f16", "bf16", "bf16x3", "i8", "u4"};

typedef struct {
    Kind kind;
    int E, top, K, O;
    int group; /* of integers; 0: a scale a row */
    int panel, tile, pieces;
    bool rows; /* x has a row for each choice, else one for each token */
    bool unit;
    bool folded; /* each matrix is multiplied by a factor a column as it is packed */
} Case;

static const Case cases[] = {
    {F32,  1,  1, 1,   1,  0,  16, 4,  1,  false, false, false},
    {F32,  4,  2, 33,  17, 0,  16, 6,  1,  false, false, false},
    {F32,  4,  2, 33,  17, 0,  32, 4,  3,  true,  false, false},
    {F32,  64, 6, 40,  50, 0,  16, 6,  16, false, false, false},
    {F32,  7,  7, 19,  65, 0,  32, 3,  2,  true,  false, false},
    {F16,  4,  2, 33,  17, 0,  16, 4,  1,  true,  false, false},
    {BF16, 1,  1, 3,   5,  0,  16, 4,  1,  false, false, false},
    {BF16, 4,  2, 33,  17, 0,  16, 6,  2,  false, false, false},
    {BF16, 64, 6, 40,  50, 0,  32, 4,  16, true,  false, false},
    {I8,   1,  1, 4,   1,  0,  16, 4,  1,  false, false, false},
    {I8,   4,  2, 33,  17, 0,  16, 4,  3,  false, false, false},
    {I8,   5,  3, 64,  40, 32, 16, 4,  2,  true,  false, false},
    {I8,   64, 6, 40,  50, 0,  32, 4,  16, false, false, false},
    {U4,   4,  2, 33,  17, 32, 16, 4,  1,  false, false, false},
    {U4,   64, 6, 96,  35, 32, 16, 4,  16, true,  false, false},
    {F32,  5,  2, 33,  17, 0,  16, 6,  3,  false, false, true },
    {F16,  5,  2, 33,  17, 0,  16, 4,  1,  true,  false, true },
    {BF16, 5,  2, 33,  17, 0,  32, 4,  2,  false, false, true },
    {I8,   5,  2, 33,  17, 0,  16, 4,  3,  false, false, true },
    {U4,   5,  2, 96,  35, 32, 16, 4,  2,  true,  false, true },
    {X3,   5,  2, 65,  33, 0,  32, 32, 2,  false, true,  true },
    {BF16, 1,  1, 3,   5,  0,  32, 32, 1,  false, true,  false},
    {BF16, 4,  2, 33,  65, 0,  32, 32, 2,  false, true,  false},
    {BF16, 64, 6, 96,  40, 0,  32, 32, 16, true,  true,  false},
    {X3,   4,  2, 33,  65, 0,  32, 32, 2,  false, true,  false},
    {X3,   5,  1, 64,  31, 0,  32, 32, 1,  true,  true,  false},
    {I8,   4,  2, 33,  65, 0,  32, 32, 3,  false, true,  false},
    {I8,   4,  3, 256, 40, 64, 32, 32, 2,  true,  true,  false},
    {U4,   4,  2, 96,  33, 32, 32, 32, 2,  false, true,  false},
    {U4,   16, 4, 64,  70, 32, 32, 32, 4,  true,  true,  false},
};

static const char *
case_text(Arena *arena, const Case *t, const char *cpu)
{
    return arena_printf(arena, "%s on %s%s: E=%d top=%d K=%d O=%d group=%d panel=%d tile=%d%s%s",
                        kind_name[t->kind], cpu, t->unit ? " unit" : "", t->E, t->top, t->K, t->O,
                        t->group, t->panel, t->tile, t->rows ? " rows" : "",
                        t->folded ? " folded" : "");
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static bool
is_integers(const Case *t)
{
    return t->kind == I8 || t->kind == U4;
}

static void
put_weight(StrBuf *sb, Arena *arena, const Case *t)
{
    const char *group = t->group ? arena_printf(arena, " {group=%d}", t->group) : "";
    const char *groups = t->group ? arena_printf(arena, "group=%d, ", t->group) : "";
    const char *w = t->folded ? "wf" : "w";
    sb_printf(sb, " kernel weight {part=rows} {\n%s", t->folded ? "  wf = mul(w, f)\n" : "");
    if (is_integers(t)) {
        sb_printf(sb, "  q, s%s = quantise_%s(%s)%s\n  qp = pack(q) {%spanel=%d}\n",
                  t->kind == U4 ? ", m" : "", kind_name[t->kind], w, group, groups, t->panel);
        sb_printf(sb, "  sp = pack(s) {panel=%d}\n", t->panel);
        if (t->kind == U4)
            sb_printf(sb, "  mp = pack(m) {panel=%d}\n", t->panel);
    } else if (t->kind == BF16 || t->kind == F16) {
        sb_printf(sb, "  c = cast(%s) {to=%s}\n  qp = pack(c) {panel=%d}\n", w, kind_name[t->kind],
                  t->panel);
    } else {
        sb_printf(sb, "  qp = pack(%s) {panel=%d%s}\n", w, t->panel,
                  t->kind == X3 ? ", dot=bf16x3" : "");
    }
    sb_printf(sb, " }\n");
}

/* Rows for each choice are made by experts themselves, of a few inputs. */
static void
put_inputs(StrBuf *sb, const Case *t)
{
    const char *x = t->rows ? "xr" : "x";
    sb_printf(sb, " kernel rows {part=rows} { x = embed(ids, xt) }\n");
    if (t->rows)
        sb_printf(sb,
                  " kernel few {part=rows} { few = embed(ids, ft) }\n"
                  " kernel pack {part=rows} { up = pack(u) {panel=16} }\n"
                  " kernel make {part=grid} { xr = experts(few, e, up) {out=%d} }\n",
                  t->K);
    if (is_integers(t))
        sb_printf(sb, " kernel quantise {part=rows} { xq, xs = quantise(%s) }\n", x);
    else
        sb_printf(sb, " kernel cast {part=rows} { xq = %s(%s)%s }\n",
                  t->kind == BF16 ? "cast" : "neg", x, t->kind == BF16 ? " {to=bf16}" : "");
}

static void
put_product(StrBuf *sb, const Case *t)
{
    sb_printf(sb, " kernel product {%stile=%d, part=grid, pieces=%d} {\n",
              t->unit ? "unit=matrix, " : "", t->tile, t->pieces);
    if (is_integers(t))
        sb_printf(sb, "  y = experts_%s(xq, xs, e, qp, sp%s) {out=%d", kind_name[t->kind],
                  t->kind == U4 ? ", mp" : "", t->O);
    else
        sb_printf(sb, "  y = experts(xq, e, qp) {out=%d%s", t->O,
                  t->kind == X3 ? ", dot=bf16x3" : "");
    if (t->group)
        sb_printf(sb, ", group=%d", t->group);
    sb_printf(sb, "}\n  a = silu(y)\n  z = mul(a, p)\n }\n");
}

static const char *
graph_text(Arena *arena, const Case *t)
{
    StrBuf sb = {0};
    sb_printf(
        &sb,
        "graph \"experts\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight xt: f32[%d,%d] tensor=\"xt\" init=ones\n"
        " weight ft: f32[%d,3] tensor=\"ft\" init=ones\n"
        " weight lt: f32[%d,%d] tensor=\"lt\" init=ones\n"
        " weight u: f32[%d,%d,3] tensor=\"u\" init=ones\n"
        " weight w: f32[%d,%d,%d] tensor=\"w\" init=ones\n",
        ROWS, ROWS, ROWS, t->K, ROWS, ROWS, t->E, t->E, t->K, t->E, t->O, t->K);
    if (t->folded)
        sb_printf(&sb, " weight f: f32[%d] tensor=\"f\" init=ones\n", t->K);
    put_weight(&sb, arena, t);
    sb_printf(&sb,
              " kernel logits {part=rows} { l = embed(ids, lt) }\n"
              " kernel route {part=rows} { e, p = route(l) {top=%d, score=softmax} }\n",
              t->top);
    put_inputs(&sb, t);
    put_product(&sb, t);
    sb_printf(&sb,
              " kernel fold {part=rows} { o = fold(z) {top=%d} }\n"
              " kernel pick {part=rows} { out = take(o, pick) }\n output out\n}\n",
              t->top);
    const char *text = arena_strdup(arena, sb_text(&sb));
    sb_free(&sb);
    return text;
}

/* ---- products -------------------------------------------------------------------------------- */

/* What may differ: sums in f32; of triples the products that are left out; where rows of x are
 * computed, an integer next to its tie. */
static double
tolerance(const Case *t)
{
    static const double of[] = {
        [F32] = 2e-5, [F16] = 2e-5, [BF16] = 2e-5, [X3] = 2e-4, [I8] = 2e-5, [U4] = 1e-4};
    return t->rows && (is_integers(t) || t->kind == BF16) ? 5e-2 : of[t->kind];
}

static void
compare(const Case *t, const char *cpu)
{
    /* vocab: ids below it; with one id every token chooses the same experts */
    static const RunCall calls[] = {
        {.nseg = 1, .len = {1}, .vocab = ROWS, .parts = 1},
        {.nseg = 1, .len = {1}, .vocab = ROWS, .parts = 3},
        {.nseg = 1, .len = {ROWS}, .vocab = ROWS, .parts = 2},
        {.nseg = 3, .len = {2, 17, 30}, .slot = {1, 0, 2}, .vocab = ROWS, .parts = 4},
        {.nseg = 1, .len = {ROWS}, .vocab = 1, .parts = 3},
        {.nseg = 1, .len = {5}, .vocab = 2, .parts = 8},
    };
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, t), cpu);
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        const double off = kernel_run_difference(run, &calls[i]);
        cr_expect_leq(off, tolerance(t), "%s, call %d: off by %g", case_text(arena, t, cpu), (int)i,
                      off);
    }
    kernel_run_close(run);
    arena_free(arena);
}

Test(experts, agree_with_the_interpreter)
{
    for (size_t u = 0; u < COUNT_OF(cpus); u++)
        for (size_t i = 0; i < COUNT_OF(cases) && cpu_runs_here(cpus[u]); i++)
            if (!cases[i].unit)
                compare(&cases[i], cpus[u]);
}

Test(experts, agree_with_the_interpreter_on_the_unit)
{
    for (size_t u = 0; u < COUNT_OF(unit_cpus); u++) {
        const bool model = strchr(unit_cpus[u], '+') != NULL;
        Arena *arena = arena_new();
        const char *cpu = arena_strndup(arena, unit_cpus[u], strcspn(unit_cpus[u], "+"));
        for (size_t i = 0; i < COUNT_OF(cases); i++)
            if (cases[i].unit && cpu_runs_here(cpu) && (model || matrix_unit_here()))
                compare(&cases[i], unit_cpus[u]);
        arena_free(arena);
    }
}

/* ---- rows are independent -------------------------------------------------------------------- */

/* The rows of ids `first` and on, in one run; arena. */
static const float *
all_rows(Arena *arena, KernelRun *run, int first, int rows, int parts)
{
    int64_t count = 0;
    for (int i = 0; i < rows; i++)
        kernel_run_ids(run)[i] = first + i;
    const RunCall call = {.nseg = 1, .len = {rows}, .parts = parts};
    const float *got = kernel_run_code(run, &call, &count);
    float *copy = arena_array(arena, (size_t)count, sizeof *copy);
    memcpy(copy, got, (size_t)count * sizeof *copy);
    return copy;
}

/* Which rows an expert has beside a row changes no bit of it. */
Test(experts, have_the_same_bits_in_any_batch)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        const size_t row = (size_t)cases[i].O;
        const char *cpu = cases[i].unit ? "native+model" : "native";
        KernelRun *run = kernel_run_open(graph_text(arena, &cases[i]), cpu);
        const float *all = all_rows(arena, run, 0, ROWS, 1);
        for (int first = 0, rows = 1; first + rows <= ROWS; first += rows, rows += 5) {
            const float *part = all_rows(arena, run, first, rows, 1 + rows % 7);
            cr_expect(memcmp(part, all + (size_t)first * row, (size_t)rows * row * sizeof *part) ==
                          0,
                      "%s: rows %d to %d", case_text(arena, &cases[i], cpu), first, first + rows);
        }
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* What an expert that no token goes to has is never read: it may be no number. */
Test(experts, without_rows_are_not_multiplied)
{
    static const Case t = {F32, 4, 1, 33, 17, 0, 16, 4, 2, false, false, false};
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(graph_text(arena, &t), "native");
    int64_t logits = 0, weights = 0, count = 0;
    float *l = kernel_run_weight(run, "lt", &logits), *w = kernel_run_weight(run, "w", &weights);
    for (int64_t i = 0; i < logits; i++)
        l[i] = i % 4 == 2 ? 9 : 0; /* all to expert 2 */
    for (int64_t i = 0; i < weights; i++)
        w[i] = i / (weights / 4) == 2 ? w[i] : NAN;
    for (int i = 0; i < ROWS; i++)
        kernel_run_ids(run)[i] = i;
    const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 3};
    const float *got = kernel_run_code(run, &call, &count);
    for (int64_t i = 0; i < count; i++)
        cr_expect(isfinite(got[i]), "element %d", (int)i);
    kernel_run_close(run);
    arena_free(arena);
}

/* ---- routes ---------------------------------------------------------------------------------- */

typedef struct {
    int E, top;
    const char *attrs;
    bool bias;
} Route;

static const Route routes[] = {
    {1,   1,  "score=softmax",                                            false},
    {4,   2,  "score=softmax, normalise=1",                               false},
    {5,   5,  "score=sigmoid, normalise=1, factor=2.5",                   true },
    {16,  4,  "score=softmax, normalise=0, factor=0.5",                   true },
    {64,  6,  "score=sigmoid, groups=8, kept=3, normalise=1, factor=2.5", true },
    {12,  4,  "score=sigmoid, groups=6, kept=2",                          false},
    {7,   3,  "score=softmax, groups=7, kept=4",                          true },
    {33,  22, "score=sigmoid, groups=1, kept=1, normalise=1",             true },
    {512, 22, "score=sigmoid, groups=4, kept=1, normalise=1, factor=5",   true },
};

/* Each expert multiplies by a number of its own, so that the sum says which were chosen. */
static const char *
route_text(Arena *arena, const Route *t)
{
    return arena_printf(
        arena,
        "graph \"route\" kernel {\n block %d\n rows %d\n input ids: i32[T]\n input pick: i32[R]\n"
        " weight lt: f32[%d,%d] tensor=\"lt\" init=ones\n"
        " weight xt: f32[%d,1] tensor=\"xt\" init=ones\n"
        " weight b: f32[%d] tensor=\"b\" init=ones\n"
        " weight w: f32[%d,1,1] tensor=\"w\" init=ones\n"
        " kernel pack {part=rows} { wp = pack(w) {panel=4} }\n"
        " kernel logits {part=rows} { l = embed(ids, lt) }\n"
        " kernel rows {part=rows} { x = embed(ids, xt) }\n"
        " kernel route {part=rows} { e, p = route(l%s) {top=%d, %s} }\n"
        " kernel product {part=grid} { y = experts(x, e, wp) {out=1}\n  z = mul(y, p) }\n"
        " kernel fold {part=rows} { f = fold(z) {top=%d} }\n"
        " kernel pick {part=rows} { out = take(f, pick) }\n output out\n}\n",
        ROWS, ROWS, ROWS, t->E, ROWS, t->E, t->E, t->bias ? ", b" : "", t->top, t->attrs, t->top);
}

Test(route, agrees_with_the_interpreter)
{
    for (size_t u = 0; u < COUNT_OF(cpus); u++)
        for (size_t i = 0; i < COUNT_OF(routes) && cpu_runs_here(cpus[u]); i++)
            for (int parts = 1; parts < 6; parts += 3) {
                Arena *arena = arena_new();
                KernelRun *run = kernel_run_open(route_text(arena, &routes[i]), cpus[u]);
                const RunCall call = {
                    .nseg = 1, .len = {parts == 1 ? 1 : ROWS}, .vocab = ROWS, .parts = parts};
                const double off = kernel_run_difference(run, &call);
                cr_expect_leq(off, 1e-5, "%s: E=%d top=%d %s: off by %g", cpus[u], routes[i].E,
                              routes[i].top, routes[i].attrs, off);
                kernel_run_close(run);
                arena_free(arena);
            }
}

/* Whatever the logits are, what is chosen are experts, and none is chosen twice: who reads them
 * looks no further. */
Test(route, chooses_experts_whatever_the_logits_are)
{
    static const float wild[] = {NAN, INFINITY, -INFINITY, 0, 3e38f, -3e38f, NAN};
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        Arena *arena = arena_new();
        KernelRun *run = kernel_run_open(route_text(arena, &routes[i]), "native");
        int64_t logits = 0, count = 0;
        float *l = kernel_run_weight(run, "lt", &logits);
        for (int64_t j = 0; j < logits; j++)
            l[j] = wild[(j * 5 + j / 3) % (int64_t)COUNT_OF(wild)];
        for (int j = 0; j < ROWS; j++)
            kernel_run_ids(run)[j] = j;
        const RunCall call = {.nseg = 1, .len = {ROWS}, .parts = 2};
        (void)kernel_run_code(run, &call, &count);
        const int32_t *e = kernel_run_value(run, "e");
        for (int j = 0; j < ROWS * routes[i].top; j++) {
            const int from = j / routes[i].top * routes[i].top;
            cr_expect(e[j] >= 0 && e[j] < routes[i].E, "expert %d", (int)e[j]);
            for (int other = from; other < j; other++)
                cr_expect_neq(e[other], e[j]);
        }
        kernel_run_close(run);
        arena_free(arena);
    }
}

/* Two groups of three, one kept, by hand: scores are 1/2 where logits are 0. The first group has
 * the greatest score, the second the greater sum of two; b chooses and is not in p. */
Test(route, follows_its_equations)
{
    static const Route t = {6, 2, "score=sigmoid, groups=2, kept=1, normalise=1, factor=3", true};
    static const float bias[] = {0.75f, -1, -1, 0, 0.25f, 0.5f};
    Arena *arena = arena_new();
    KernelRun *run = kernel_run_open(route_text(arena, &t), "native");
    int64_t count = 0;
    float *l = kernel_run_weight(run, "lt", &count);
    memset(l, 0, (size_t)count * sizeof *l);
    l[4] = 2; /* of token 0: sigmoid(2) = 0.8808 */
    memcpy(kernel_run_weight(run, "b", &count), bias, sizeof bias);
    const RunCall call = {.nseg = 1, .len = {1}, .parts = 1};
    (void)kernel_run_code(run, &call, &count);
    const int32_t *e = kernel_run_value(run, "e");
    const float *p = kernel_run_value(run, "p");
    cr_expect_eq(e[0], 4);
    cr_expect_eq(e[1], 5);
    cr_expect_float_eq(p[0], 3 * 0.880797 / 1.380797, 1e-5);
    kernel_run_close(run);
    arena_free(arena);
}

/* ---- the interpreter ------------------------------------------------------------------------- */

/* sin(seed + 0.7 i), the seed by the order of the weights. */
static const void *
waves(void *user, const Value *weight)
{
    float *all = user;
    int64_t count = 0;
    int seed = 0;
    cr_assert(type_count(&weight->type, 1, 1, &count));
    while ("egbud"[seed] != weight->name[0])
        seed++;
    float *w = all + (ptrdiff_t)seed * 120;
    for (int64_t i = 0; i < count; i++)
        w[i] = (float)sin(seed + 1 + 0.7 * (double)i);
    return w;
}

/* What torch makes of the routers of transformers 5 (nemotron_h, jamba, granitemoehybrid), in
 * float64. The last takes a softmax of the chosen logits alone. */
Test(route, has_the_numbers_of_published_routers)
{
    static const struct {
        const char *route;
        int top;
        double out[12];
    } published[] = {
        {"route(s, b) {top=3, score=sigmoid, groups=3, kept=2, normalise=1, factor=2.5}",
         3, {7.660825711, -6.482324186, 4.480006003, -1.908338672, 5.906860342, -5.811860766,
          4.978251182, -3.511972527, -1.516624487, -0.7433612784, 2.908875739, -4.704711062}},
        {"route(s) {top=2, score=softmax}",
         2, {0.6640138014, -0.6665090314, 0.5842998833, -0.4278339326, 1.7044341, -1.186357017,
          0.5175097743, 0.2171060418, 1.32042886, -1.20932514, 0.9445323944, -0.5597022347} },
        {"route(s) {top=2, score=softmax, normalise=1}",
         2, {0.8272910575, -0.8303998505, 0.7279759356, -0.5330358883, 2.236573549, -1.556748203,
          0.6790809175, 0.2848884743, 1.594569345, -1.460398856, 1.140631235, -0.6759046648}},
    };
    static float weights[5 * 120];
    for (size_t i = 0; i < COUNT_OF(published); i++) {
        Arena *arena = arena_new();
        Diag *diag = diag_new();
        const char *text = arena_printf(
            arena,
            "graph g model {\ninput ids: i32[T]\ninput pick: i32[R]\nweight e: f32[4,4]\nweight g: "
            "f32[6,4]\n"
            "weight b: f32[6]\nweight u: f32[6,5,4]\nweight d: f32[6,4,5]\nx = embed(ids, e)\n"
            "s = linear(x, g)\nc, p = %s\na = square(relu(experts(x, c, u)))\n"
            "y = fold(experts(a, c, d) * p) {top=%d}\nt = take(y, pick)\noutput t\n}\n",
            published[i].route, published[i].top);
        const Source source = {.path = "t.ir", .text = text, .len = strlen(text)};
        const Graph *g = graph_parse(arena, &source, diag);
        cr_assert_not_null(g, "%s", published[i].route);
        const WeightSource from = {.user = weights, .open = waves};
        Interp *in = interp_new(g, &from);
        static const int32_t ids[] = {1, 3, 0}, pick[] = {0, 1, 2};
        double out[12];
        const char *why = "";
        cr_assert(interp_run(in, ids, 3, pick, 3, out, &why), "%s", why);
        for (int j = 0; j < 12; j++)
            cr_expect_float_eq(out[j], published[i].out[j], 1e-8, "%s: number %d is %.10g",
                               published[i].route, j, out[j]);
        interp_free(in);
        diag_free(diag);
        arena_free(arena);
    }
}

/* ---- what is counted ------------------------------------------------------------------------- */

static Graph *
parsed(Arena *arena, Diag *diag, const Case *t)
{
    const char *text = graph_text(arena, t);
    Source *source = arena_alloc(arena, sizeof *source);
    *source = (Source){.path = "t.ir", .text = text, .len = strlen(text)};
    Graph *g = graph_parse(arena, source, diag);
    cr_assert_not_null(g);
    return g;
}

/* The two experts of a token, a row of each table; four tokens may go to all eight. */
Test(experts, decode_counts_those_that_are_chosen)
{
    static const Case t = {F32, 8, 2, 32, 16, 0, 16, 4, 1, false, false, false};
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const Graph *g = parsed(arena, diag, &t);
    const AbiProgram program = {0};
    cr_expect_eq(bench_decode_bytes(g, &program, 1, 0), 4 * (2 * 16 * 32 + 32 + 8));
    cr_expect_eq(bench_decode_bytes(g, &program, 4, 0), 4 * (8 * 16 * 32 + 4 * (32 + 8)));
    cr_expect_eq(bench_flops(g).linear, 2.0 * 2 * 16 * 32, "of a token: its two experts");
    diag_free(diag);
    arena_free(arena);
}

/* Each expert has few of a pass's rows: a matrix unit waits for weights that are read for them. */
Test(experts, passes_are_longer_on_a_matrix_unit)
{
    static const Case t = {BF16, 64, 6, 32, 16, 0, 16, 4, 1, false, false, false};
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Machine m;
    const Graph *g = parsed(arena, diag, &t);
    cr_assert(machine_named("sapphirerapids", &m));
    const int64_t plain = cost_pass_tokens(&m, FORMAT_bf16, NULL);
    cr_expect_gt(cost_pass_tokens(&m, FORMAT_bf16, g), plain);
    cr_assert(machine_named("x86-64-v4", &m));
    cr_expect_eq(cost_pass_tokens(&m, FORMAT_bf16, g), cost_pass_tokens(&m, FORMAT_bf16, NULL));
    diag_free(diag);
    arena_free(arena);
}

/* ---- whole models ---------------------------------------------------------------------------- */

/* A text read at once, in pieces and token by token, on any number of
 * threads, has one answer to the bit. */
Test(experts, of_a_model_answer_the_same_however_it_is_asked)
{
    enum { TOKENS = 50 };
    static const char *const formats[] = {"f32", "bf16", "int8", "int4"};
    static const int most[] = {TOKENS, 7, 1}, threads[] = {1, 2, 5};
    for (size_t f = 0; f < COUNT_OF(formats); f++) {
        ModelRun *run = MODEL_RUN(SSMC_ROOT "/tests/fuzz/corpus/ir/experts.ir", "--dtype",
                                  formats[f], "--blas", "none");
        const size_t vocab = (size_t)ssmc_model_vocab(model_run_model(run));
        Arena *arena = arena_new();
        float *want = arena_array(arena, vocab, sizeof *want);
        float *got = arena_array(arena, vocab * 2, sizeof *got);
        int32_t ids[TOKENS];
        model_run_ids(run, 1, ids, TOKENS);
        for (size_t t = 0; t < COUNT_OF(threads); t++) {
            ssmc_session *s = model_run_session(run, 2, threads[t]);
            for (size_t i = 0; i < COUNT_OF(most); i++) {
                float *to = t + i ? got : want;
                cr_assert_eq(ssmc_reset(s, 0), SSMC_OK);
                for (int at = 0; at < TOKENS; at += most[i])
                    cr_assert_eq(ssmc_prefill(s, 0, ids + at,
                                              at + most[i] < TOKENS ? most[i] : TOKENS - at, to),
                                 SSMC_OK, "%s", ssmc_error());
                cr_expect(memcmp(to, want, vocab * sizeof *to) == 0, "%s, %d threads, %d at once",
                          formats[f], threads[t], most[i]);
            }
            ssmc_session_close(s);
        }
        arena_free(arena);
        model_run_close(run);
    }
}
