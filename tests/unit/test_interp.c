/* tests/unit/test_interp.c -- the interpreter against closed forms, and the three forms of the SSD
 * against each other. Graphs read their activations from a table of random rows through `embed`. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"

/* ---- a graph with weights ------------------------------------------------------------------ */

typedef struct {
    Arena *arena;
    Diag *diag;
    Graph *graph;
    Interp *interp;
    double scale[8]; /* weight whose name starts with the letter 'a' + i: uniform in +-scale */
    double shift[8];
} Model;

/* Uniform in [-1, 1), from a name and an index: the same in every run. */
static double
uniform(const char *name, int64_t i)
{
    const uint64_t bits = hash_bytes(&i, sizeof i, hash_bytes(name, strlen(name), 1));
    return (double)(bits >> 11) * 0x1p-52 - 1;
}

/* Weights called a.., b.. .. h.. take scale and shift of their letter; others are uniform in +-1.
 */
static float
weight_element(const Model *m, const char *name, int64_t i)
{
    const int letter = name[0] - 'a';
    const bool known = letter >= 0 && letter < 8;
    return (float)(known ? m->shift[letter] + m->scale[letter] * uniform(name, i)
                         : uniform(name, i));
}

static const void *
open_weight(void *user, const Value *weight)
{
    const Model *m = user;
    int64_t count = 0;
    cr_assert(type_count(&weight->type, 0, 0, &count));
    const Dtype dtype = weight->type.dtype;
    char *data = arena_array(m->arena, (size_t)count, (size_t)dtype_info[dtype].bytes);
    for (int64_t i = 0; i < count; i++) {
        const float value = weight_element(m, weight->name, i);
        const uint16_t half = f32_to_bf16(value);
        if (dtype == DTYPE_f32)
            memcpy(data + 4 * i, &value, 4);
        else
            memcpy(data + 2 * i, &half, 2);
    }
    return data;
}

static Model
model_new(const char *text)
{
    Model m = {.arena = arena_new(), .diag = diag_new()};
    Source *source = arena_alloc(m.arena, sizeof *source); /* the graph points into it */
    *source = (Source){"test", arena_strdup(m.arena, text), strlen(text)};
    for (int i = 0; i < 8; i++)
        m.scale[i] = 1;
    m.graph = graph_parse(m.arena, source, m.diag);
    if (m.graph == NULL) {
        StrBuf faults = {0};
        diag_print(m.diag, &faults);
        cr_assert(false, "%s", sb_text(&faults));
    }
    return m;
}

static void
model_free(Model *m)
{
    interp_free(m->interp);
    arena_free(m->arena);
    diag_free(m->diag);
}

/* Outputs of every token of a run over rows first .. first+T-1 of the tables. The states start at
 * zero when first is 0. arena */
static const double *
model_run(Model *m, int first, int T)
{
    const WeightSource source = {m, open_weight};
    if (first == 0) {
        interp_free(m->interp);
        m->interp = interp_new(m->graph, &source);
    }
    const size_t width = (size_t)type_width(&m->graph->outputs[0]->type);
    double *out = arena_array(m->arena, (size_t)T * width, sizeof *out);
    int32_t *ids = arena_array(m->arena, (size_t)T, sizeof *ids);
    int32_t *pick = arena_array(m->arena, (size_t)T, sizeof *pick);
    for (int t = 0; t < T; t++) {
        ids[t] = first + t;
        pick[t] = t;
    }
    const char *why = "";
    cr_assert(interp_run(m->interp, ids, T, pick, T, out, &why), "%s", why);
    return out;
}

static double
state_at(const Model *m, int64_t i)
{
    int64_t count;
    const double *state = interp_state(m->interp, "s", &count);
    cr_assert(state != NULL && i < count);
    return state[i];
}

/* Equal to 1e-11 of the larger, or of 1. */
static void
expect_close(const double *a, const double *b, int64_t count, const char *what)
{
    for (int64_t i = 0; i < count; i++) {
        const double size = fmax(1, fmax(fabs(a[i]), fabs(b[i])));
        if (fabs(a[i] - b[i]) <= 1e-11 * size)
            continue;
        cr_assert(false, "%s: element %lld is %.17g, expected %.17g", what, (long long)i, b[i],
                  a[i]);
    }
}

/* ---- the forms of the SSD ------------------------------------------------------------------ */

typedef struct {
    int T, H, P, N, G, Q; /* Q 0: one chunk over all */
    double dt, spread;    /* dt is uniform in dt +- spread */
    double A_log;         /* A = -exp(A_log +- 0.5) */
} SsdCase;

/* Text of a graph whose body is `form`'s ops; activations x, dt, B, C are embedded from tables. */
static const char *
ssd_text(Arena *arena, const SsdCase *c, const char *stage, const char *body)
{
    const int inner = c->H * c->P, bc = c->G * c->N, rows = 64;
    return arena_printf(arena,
                        "graph \"g\" %s {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: f32[%d,%d]\n"
                        "  weight d_table: f32[%d,%d]\n"
                        "  weight m_table: f32[%d,%d]\n"
                        "  weight n_table: f32[%d,%d]\n"
                        "  weight a_log: f32[%d]\n"
                        "  weight skip: f32[%d]\n"
                        "  state s: f32[%d,%d,%d]\n"
                        "  x = embed(ids, x_table)\n"
                        "  dt = embed(ids, d_table)\n"
                        "  B = embed(ids, m_table)\n"
                        "  C = embed(ids, n_table)\n"
                        "%s"
                        "  out = take(y, pick)\n"
                        "  output out\n"
                        "}\n",
                        stage, rows, inner, rows, c->H, rows, bc, rows, bc, c->H, c->H, c->H, c->N,
                        c->P, body);
}

static const char *
recurrent_text(Arena *arena, const SsdCase *c)
{
    const char *sizes =
        arena_printf(arena, "heads=%d, head_dim=%d, groups=%d, state=%d", c->H, c->P, c->G, c->N);
    return ssd_text(arena, c, "model",
                    arena_printf(arena, "  y = ssd(x, dt, a_log, B, C, skip, s) {%s}\n", sizes));
}

static const char *
chunked_text(Arena *arena, const SsdCase *c)
{
    const char *chunk = c->Q > 0 ? arena_printf(arena, "chunk=%d", c->Q) : "chunk=all";
    const char *groups = arena_printf(arena, "groups=%d, state=%d, %s", c->G, c->N, chunk);
    const char *sizes = arena_printf(arena, "heads=%d, head_dim=%d, %s", c->H, c->P, groups);
    return ssd_text(arena, c, "lowered",
                    arena_printf(arena,
                                 "  e = exp(a_log)\n"
                                 "  A = neg(e)\n"
                                 "  a = chunk_decay(dt, A) {%s}\n"
                                 "  cb = chunk_cb(C, B) {%s}\n"
                                 "  add = chunk_state(B, x, dt, a) {%s}\n"
                                 "  enter = state_pass(add, a, s) {%s}\n"
                                 "  y = chunk_out(cb, a, dt, x, C, enter, skip) {%s}\n",
                                 chunk, groups, sizes, chunk, sizes));
}

static Model
ssd_model(const SsdCase *c, bool recurrent)
{
    Arena *texts = arena_new();
    const char *text = recurrent ? recurrent_text(texts, c) : chunked_text(texts, c);
    Model m = model_new(text);
    m.shift['d' - 'a'] = c->dt;
    m.scale['d' - 'a'] = c->spread;
    m.shift['a' - 'a'] = c->A_log;
    m.scale['a' - 'a'] = 0.5;
    arena_free(texts);
    return m;
}

/* Whole, then in two pieces, against the recurrence: outputs and state. */
static void
check_ssd(const SsdCase *c)
{
    char what[128];
    snprintf(what, sizeof what, "T=%d H=%d P=%d N=%d G=%d Q=%d", c->T, c->H, c->P, c->N, c->G,
             c->Q);
    Model a = ssd_model(c, true), b = ssd_model(c, false);
    const int64_t count = (int64_t)c->T * c->H * c->P;
    const double *expected = model_run(&a, 0, c->T);
    const double *whole = model_run(&b, 0, c->T);
    expect_close(expected, whole, count, what);
    for (int64_t i = 0; i < (int64_t)c->H * c->N * c->P; i++) {
        const double want = state_at(&a, i), got = state_at(&b, i);
        expect_close(&want, &got, 1, what);
    }
    const int cut = c->T / 3, width = c->H * c->P;
    if (cut > 0) {
        expect_close(expected, model_run(&b, 0, cut), (int64_t)cut * width, what);
        expect_close(expected + cut * width, model_run(&b, cut, c->T - cut),
                     (int64_t)(c->T - cut) * width, what);
    }
    model_free(&a);
    model_free(&b);
}

Test(interp, chunked_and_quadratic_are_the_recurrence)
{
    const int lengths[] = {1, 2, 7, 8, 23}, chunks[] = {0, 1, 4, 7, 64};
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        for (size_t j = 0; j < COUNT_OF(chunks); j++) {
            check_ssd(&(SsdCase){lengths[i], 4, 5, 3, 2, chunks[j], 0.5, 0.4, 0});
            check_ssd(&(SsdCase){lengths[i], 3, 2, 8, 1, chunks[j], 0.5, 0.4, 0});
        }
}

Test(interp, ssd_forgets_under_strong_decay)
{
    const double log_80 = 4.382026634673881;
    check_ssd(&(SsdCase){30, 2, 4, 5, 1, 8, 1, 0.1, log_80});
    check_ssd(&(SsdCase){30, 2, 4, 5, 1, 0, 1, 0.1, log_80});
}

Test(interp, ssd_with_dt_near_zero_keeps_its_state)
{
    check_ssd(&(SsdCase){30, 2, 4, 5, 2, 8, 1e-9, 1e-9, 0});
    check_ssd(&(SsdCase){30, 2, 4, 5, 2, 8, 0, 0, 0});
}

/* Element t of row-major tables of `width` columns. */
static double
table_at(const Model *m, const char *table, int t, int width, int column)
{
    return weight_element(m, table, (int64_t)t * width + column);
}

/* y_t = sum over s <= t of exp(A (dt_(s+1) + .. + dt_t)) (C_t . B_s) dt_s x_s + D x_t for channel p
 * of head h, which reads group h / (H/G). */
static double
ssd_expected(const Model *m, const SsdCase *c, int t, int h, int p)
{
    const int g = h / (c->H / c->G), bc = c->G * c->N, channel = h * c->P + p;
    const double A = -exp(weight_element(m, "a_log", h));
    double sum = weight_element(m, "skip", h) * table_at(m, "x_table", t, c->H * c->P, channel);
    double log_decay = 0;
    for (int s = t; s >= 0; s--) {
        double product = 0;
        for (int n = g * c->N; n < (g + 1) * c->N; n++)
            product += table_at(m, "n_table", t, bc, n) * table_at(m, "m_table", s, bc, n);
        const double dt = table_at(m, "d_table", s, c->H, h);
        sum += exp(log_decay) * product * dt * table_at(m, "x_table", s, c->H * c->P, channel);
        log_decay += A * dt;
    }
    return sum;
}

Test(interp, ssd_is_a_decayed_sum_over_the_past)
{
    const SsdCase c = {20, 6, 2, 3, 2, 0, 0.25, 0.2, 0};
    Model m = ssd_model(&c, true);
    const double *y = model_run(&m, 0, c.T);
    for (int i = 0; i < c.T * c.H * c.P; i++) {
        const double want = ssd_expected(&m, &c, i / (c.H * c.P), i / c.P % c.H, i % c.P);
        expect_close(&want, &y[i], 1, "y");
    }
    model_free(&m);
}

/* ---- convolution --------------------------------------------------------------------------- */

static const char conv_text[] = "graph \"g\" model {\n"
                                "  input ids: i32[T]\n  input pick: i32[R]\n"
                                "  weight x_table: f32[64,3]\n"
                                "  weight w: f32[3,1,4]\n"
                                "  weight bias: f32[3]\n"
                                "  state s: f32[3,3]\n"
                                "  x = embed(ids, x_table)\n"
                                "  y = conv1d(x, w, bias, s)\n"
                                "  out = take(y, pick)\n"
                                "  output out\n"
                                "}\n";

static double
conv_expected(const Model *m, int t, int channel)
{
    double sum = weight_element(m, "bias", channel);
    for (int k = 0; k < 4; k++) {
        const int from = t - 3 + k;
        if (from >= 0)
            sum += weight_element(m, "w", channel * 4 + k) *
                   (double)weight_element(m, "x_table", from * 3 + channel);
    }
    return sum;
}

Test(interp, conv1d_reads_back_through_its_state)
{
    const int pieces[] = {1, 1, 5, 2, 4};
    Model m = model_new(conv_text);
    int first = 0;
    for (size_t i = 0; i < COUNT_OF(pieces); first += pieces[i++]) {
        const double *y = model_run(&m, first, pieces[i]);
        for (int j = 0; j < pieces[i] * 3; j++) {
            const double want = conv_expected(&m, first + j / 3, j % 3);
            expect_close(&want, &y[j], 1, "conv1d");
        }
    }
    for (int i = 0; i < 9; i++) /* the last three inputs, oldest first */
        cr_expect(state_at(&m, i) == weight_element(&m, "x_table", (first - 3) * 3 + i));
    model_free(&m);
}

Test(interp, transposed_conv_weight_gives_the_same)
{
    static const char text[] = "graph \"g\" lowered {\n"
                               "  input ids: i32[T]\n  input pick: i32[R]\n"
                               "  weight x_table: f32[64,3]\n"
                               "  weight w: f32[3,1,4]\n"
                               "  weight bias: f32[3]\n"
                               "  state s: f32[3,3]\n"
                               "  x = embed(ids, x_table)\n"
                               "  wt = transpose(w)\n"
                               "  y = conv1d(x, wt, bias, s)\n"
                               "  out = take(y, pick)\n"
                               "  output out\n"
                               "}\n";
    Model a = model_new(conv_text), b = model_new(text);
    const double *expected = model_run(&a, 0, 9);
    expect_close(expected, model_run(&b, 0, 9), 27, "conv1d");
    model_free(&a);
    model_free(&b);
}

/* ---- norms, pointwise, projections --------------------------------------------------------- */

Test(interp, rmsnorm_in_groups)
{
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: f32[8,6]\n"
                        "  weight w: f32[6]\n"
                        "  x = embed(ids, x_table)\n"
                        "  y = rmsnorm(x, w) {eps=0.001, groups=2}\n"
                        "  out = take(y, pick)\n"
                        "  output out\n"
                        "}\n");
    const double *y = model_run(&m, 0, 8);
    for (int i = 0; i < 48; i++) {
        double squares = 0;
        for (int j = i / 3 * 3; j < i / 3 * 3 + 3; j++)
            squares += pow(weight_element(&m, "x_table", j), 2);
        const double want = weight_element(&m, "x_table", i) / sqrt(squares / 3 + 0.001) *
                            weight_element(&m, "w", i % 6);
        expect_close(&want, &y[i], 1, "rmsnorm");
    }
    model_free(&m);
}

Test(interp, rmsnorm_in_groups_of_one_weight)
{
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: f32[8,6]\n"
                        "  weight w: f32[3]\n"
                        "  x = embed(ids, x_table)\n"
                        "  y = rmsnorm(x, w) {eps=0.001, groups=2}\n"
                        "  out = take(y, pick)\n"
                        "  output out\n"
                        "}\n");
    const double *y = model_run(&m, 0, 8);
    for (int i = 0; i < 48; i++) {
        double squares = 0;
        for (int j = i / 3 * 3; j < i / 3 * 3 + 3; j++)
            squares += pow(weight_element(&m, "x_table", j), 2);
        const double want = weight_element(&m, "x_table", i) / sqrt(squares / 3 + 0.001) *
                            weight_element(&m, "w", i % 3);
        expect_close(&want, &y[i], 1, "rmsnorm");
    }
    model_free(&m);
}

Test(interp, pointwise_repeats_rows_columns_and_numbers)
{
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: f32[8,3]\n"
                        "  weight y_table: f32[8,1]\n"
                        "  weight w: f32[3]\n"
                        "  x = embed(ids, x_table)\n"
                        "  column = embed(ids, y_table)\n"
                        "  p = mul(x, column)\n"
                        "  q = sub(w, p)\n"
                        "  r = add(q, 0.5)\n"
                        "  out = take(r, pick)\n"
                        "  output out\n"
                        "}\n");
    const double *r = model_run(&m, 0, 8);
    for (int i = 0; i < 24; i++) {
        const double x = weight_element(&m, "x_table", i);
        const double want =
            weight_element(&m, "w", i % 3) - x * (double)weight_element(&m, "y_table", i / 3) + 0.5;
        expect_close(&want, &r[i], 1, "r");
    }
    model_free(&m);
}

Test(interp, softplus_is_exact_far_from_zero)
{
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight b_table: f32[3,1]\n"
                        "  x = embed(ids, b_table)\n"
                        "  y = softplus(x)\n"
                        "  out = take(y, pick)\n"
                        "  output out\n"
                        "}\n");
    m.scale[1] = 0;
    m.shift[1] = -30;
    cr_expect(fabs(model_run(&m, 0, 1)[0] - 9.357622968840e-14) < 1e-24);
    m.shift[1] = 800;
    cr_expect(model_run(&m, 0, 1)[0] == 800);
    model_free(&m);
}

/* linear(x, W, b) with W as it is, packed in f32, and packed in pairs of bf16. K is odd and O is
 * not a multiple of the panel. */
static const char *
linear_text(Arena *arena, const char *dtype, bool packed)
{
    return arena_printf(arena,
                        "graph \"g\" lowered {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: bf16[8,5]\n"
                        "  weight w: %s[7,5]\n"
                        "  weight bias: f32[7]\n"
                        "  x = embed(ids, x_table)\n"
                        "  xc = cast(x) {to=%s}\n"
                        "%s"
                        "  out = take(y, pick)\n"
                        "  output out\n"
                        "}\n",
                        dtype, dtype,
                        packed ? "  wp = pack(w) {panel=4}\n"
                                 "  y = linear(xc, wp, bias) {out=7}\n"
                               : "  y = linear(xc, w, bias)\n");
}

static void
check_linear(const char *dtype)
{
    Arena *texts = arena_new();
    Model a = model_new(linear_text(texts, dtype, false));
    Model b = model_new(linear_text(texts, dtype, true));
    const double *plain = model_run(&a, 0, 8);
    expect_close(plain, model_run(&b, 0, 8), 56, dtype);
    for (int i = 0; i < 56 && strcmp(dtype, "bf16") == 0; i++) {
        double want = weight_element(&a, "bias", i % 7);
        for (int k = 0; k < 5; k++)
            want += (double)bf16_to_f32(f32_to_bf16(weight_element(&a, "x_table", i / 7 * 5 + k))) *
                    bf16_to_f32(f32_to_bf16(weight_element(&a, "w", i % 7 * 5 + k)));
        expect_close(&want, &plain[i], 1, "linear");
    }
    model_free(&a);
    model_free(&b);
    arena_free(texts);
}

Test(interp, packed_weights_give_the_same_projection)
{
    check_linear("f32");
    check_linear("bf16");
}

/* A weight is the nearest bf16 and the nearest to what is left; x is what it is. */
Test(interp, triples_are_sums_of_two_bf16)
{
    enum { K = 37, O = 7 };
    static const char *const ways[] = {
        "y = linear(x, w, bias) {dot=bf16x3}",
        "wp = pack(w) {panel=4, dot=bf16x3}\n y = linear(x, wp, bias) {out=7, dot=bf16x3}"};
    Arena *texts = arena_new();
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        Model m = model_new(
            arena_printf(texts,
                         "graph \"g\" lowered {\n input ids: i32[T]\n input pick: i32[R]\n"
                         " weight x_table: f32[8,37]\n weight w: f32[7,37]\n"
                         " weight bias: f32[7]\n x = embed(ids, x_table)\n %s\n"
                         " out = take(y, pick)\n output out\n}\n",
                         ways[way]));
        const double *got = model_run(&m, 0, 8);
        for (int i = 0; i < 8 * O; i++) {
            double want = weight_element(&m, "bias", i % O);
            for (int k = 0; k < K; k++) {
                const float w = weight_element(&m, "w", i % O * K + k);
                const float high = bf16_to_f32(f32_to_bf16(w));
                const float low = bf16_to_f32(f32_to_bf16(w - high));
                want += (double)weight_element(&m, "x_table", i / O * K + k) *
                        ((double)high + (double)low);
            }
            expect_close(&want, &got[i], 1, ways[way]);
        }
        model_free(&m);
    }
    arena_free(texts);
}

Test(interp, take_picks_rows_and_split_cuts_columns)
{
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n  input pick: i32[R]\n"
                        "  weight x_table: f32[8,5]\n"
                        "  x = embed(ids, x_table)\n"
                        "  left, right = split(x) {sizes=[2, 3]}\n"
                        "  y = take(right, pick)\n"
                        "  output y\n"
                        "}\n");
    const WeightSource source = {&m, open_weight};
    m.interp = interp_new(m.graph, &source);
    const int32_t ids[] = {4, 0, 7}, pick[] = {2, 1};
    double out[6];
    const char *why = "";
    cr_assert(interp_run(m.interp, ids, 3, pick, 2, out, &why), "%s", why);
    for (int i = 0; i < 6; i++) {
        const int row = ids[pick[i / 3]];
        cr_expect(out[i] == weight_element(&m, "x_table", row * 5 + 2 + i % 3));
    }
    model_free(&m);
}

/* ---- products that were computed before ---------------------------------------------------- */

/* Interprets one product of `tokens` rows with a memo; the weights have the given scale. */
static double
first_product(InterpMemo *memo, double scale, int tokens)
{
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n"
                        "  weight x_table: f32[8,5]\n"
                        "  weight a_w: f32[3,5]\n"
                        "  y = linear(embed(ids, x_table), neg(a_w))\n"
                        "  output y\n"
                        "}\n");
    const WeightSource source = {&m, open_weight};
    m.scale[0] = scale;
    m.interp = interp_new(m.graph, &source);
    interp_use_memo(m.interp, memo);
    const int32_t ids[] = {4, 0}, pick[] = {0, 1};
    double out[6];
    const char *why = "";
    cr_assert(interp_run(m.interp, ids, tokens, pick, tokens, out, &why), "%s", why);
    model_free(&m);
    return out[0];
}

/* Weights of one name are taken for the same ones, so other numbers under it show what was taken.
 */
Test(interp, a_memo_gives_the_same_rows_and_weights_what_they_gave)
{
    InterpMemo *memo = interp_memo_new();
    const double one = first_product(memo, 1, 2);
    cr_expect_neq(one, 0);
    cr_expect_eq(first_product(memo, 2, 2), one, "taken from the memo");
    cr_expect_eq(first_product(NULL, 2, 2), 2 * one, "computed");
    cr_expect_eq(first_product(memo, 2, 1), 2 * one, "other rows: computed");
    interp_memo_free(memo);
}

/* More multiplications than one thread is given, rows that fill no group of four, and a sum in four
 * parts with a rest: each element is the sum that is written here, to the last bit. */
Test(interp, large_products_are_the_sums_of_small_ones)
{
    enum { T = 7, K = 515, O = 700 };
    Model m = model_new("graph \"g\" model {\n"
                        "  input ids: i32[T]\n"
                        "  weight x_table: f32[8,515]\n"
                        "  weight a_w: f32[700,515]\n"
                        "  y = linear(embed(ids, x_table), a_w)\n"
                        "  output y\n"
                        "}\n");
    const double *y = model_run(&m, 0, T);
    for (int t = 0; t < T; t++)
        for (int o = 0; o < O; o++) {
            double sum[4] = {0};
            for (int k = 0; k < K; k++)
                sum[k < K / 4 * 4 ? k % 4 : 0] += (double)weight_element(&m, "x_table", t * K + k) *
                                                  (double)weight_element(&m, "a_w", o * K + k);
            cr_assert_eq(y[t * O + o], (sum[0] + sum[1]) + (sum[2] + sum[3]), "%d, %d", t, o);
        }
    model_free(&m);
}

/* ---- refusals ------------------------------------------------------------------------------ */

Test(interp, bad_calls_are_refused_and_change_nothing)
{
    Model m = model_new(conv_text);
    const WeightSource source = {&m, open_weight};
    m.interp = interp_new(m.graph, &source);
    const int32_t high[] = {0, 64}, low[] = {-1}, good[] = {5}, pick[] = {1};
    double out[6];
    const char *why = "";
    cr_expect(!interp_run(m.interp, high, 2, NULL, 0, out, &why));
    cr_expect_str_eq(why, "id 64 at 1 is not in 0 .. 63");
    cr_expect(!interp_run(m.interp, low, 1, NULL, 0, out, &why));
    cr_expect(!interp_run(m.interp, good, 0, NULL, 0, out, &why));
    cr_expect(!interp_run(m.interp, good, 1, pick, 1, out, &why));
    int64_t count;
    for (int i = 0; i < 9; i++)
        cr_expect(state_at(&m, i) == 0);
    cr_expect(interp_run(m.interp, good, 1, NULL, 0, out, &why));
    cr_expect(interp_state(m.interp, "nothing", &count) == NULL);
    model_free(&m);
}

Test(interp, weights_without_values_are_named)
{
    Model m = model_new(conv_text);
    m.interp = interp_new(m.graph, &(WeightSource){0});
    const int32_t ids[] = {1};
    const char *why = "";
    cr_expect(!interp_run(m.interp, ids, 1, NULL, 0, NULL, &why));
    cr_expect_str_eq(why, "weight x_table has no values");
    model_free(&m);
}

/* ---- numbers by bits ----------------------------------------------------------------------- */

Test(interp, bf16_rounds_to_nearest_even)
{
    cr_expect(f32_to_bf16(1.0F) == 0x3F80);
    cr_expect(f32_to_bf16(0x1.01p0F) == 0x3F80, "a tie goes to the even neighbour below");
    cr_expect(f32_to_bf16(0x1.03p0F) == 0x3F82, "a tie goes to the even neighbour above");
    cr_expect(f32_to_bf16(0x1.010002p0F) == 0x3F81);
    cr_expect(f32_to_bf16(0x1.FFp127F) == 0x7F80, "what rounds above the largest is infinite");
    cr_expect(f32_to_bf16(-INFINITY) == 0xFF80);
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = bf16_to_f32((uint16_t)bits);
        const uint16_t back = f32_to_bf16(value);
        cr_assert(isnan(value) ? isnan(bf16_to_f32(back)) : back == bits, "%04x", bits);
    }
}

Test(interp, f16_of_every_bit_pattern)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 1023);
        const float got = f16_to_f32((uint16_t)bits);
        double want = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
        if (exponent == 31)
            want = INFINITY;
        if (bits >> 15)
            want = -want;
        if (exponent == 31 && mantissa != 0)
            cr_assert(isnan(got), "%04x", bits);
        else
            cr_assert((double)got == want, "%04x", bits);
    }
}
