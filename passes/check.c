/* passes/check.c -- --check-each: does a pass change the numbers?
 *
 * The graph is interpreted before the first pass and after every pass that changed it, on the same
 * tokens, in two calls so that states carry over; outputs of some rows and all states are
 * compared with those after the pass before, an output and a state at a time. A difference counts
 * in units of the standard deviation of what it is a difference of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/internal.h"

enum { LEAST_TOKENS = 3, MOST_TOKENS = 150, MOST_PICKED = 4 };

/* Numbers of one interpretation: the outputs of both calls, then each state. */
typedef struct {
    double *at; /* malloc'd: there may be many, and passes are many */
    int64_t count, cap;
    int64_t *end; /* of each of them */
    int ends;
} Numbers;

struct Checker {
    PassCtx *cx;
    const WeightSource *weights;
    Arena *arena;
    int64_t tokens;
    int32_t *ids;
    InterpMemo *memo; /* most passes change few products, or none */
    Numbers before;
};

/* ---- what is interpreted ---------------------------------------------------------------- */

/* About 4e9 multiplications; not a multiple of the usual chunk lengths. */
static int64_t
check_tokens(const Graph *g)
{
    int64_t params = 1;
    for (int i = 0; i < g->nweights; i++) {
        int64_t n = 0;
        if (type_count(&g->weights[i]->type, 1, 1, &n))
            params += n;
    }
    const int64_t tokens = (int64_t)(4e9 / (double)params);
    if (tokens >= MOST_TOKENS)
        return MOST_TOKENS;
    return tokens < LEAST_TOKENS ? LEAST_TOKENS : tokens - (tokens % 16 == 0);
}

/* ---- one interpretation ----------------------------------------------------------------- */

static bool
numbers_new(Checker *c, const Graph *g, Numbers *out)
{
    int64_t output = 0, total = 0;
    bool fits = type_count(&g->outputs[0]->type, c->tokens, MOST_PICKED, &output) &&
                size_mul(output, 2, &total);
    for (int i = 0; i < g->nstates; i++) {
        int64_t state = 0;
        fits = fits && type_count(&g->states[i]->type, c->tokens, 1, &state) &&
               size_add(total, state, &total);
    }
    *out = (Numbers){.cap = total};
    out->end = arena_array(c->arena, (size_t)g->nstates + 2, sizeof *out->end);
    out->at = fits && total < INT64_MAX / 16 ? malloc((size_t)(total + 1) * sizeof *out->at) : NULL;
    if (!out->at)
        diag_error(c->cx->diag, (SrcLoc){0}, "--check-each: no memory for the numbers of %s",
                   g->name);
    return out->at != NULL;
}

static double *
numbers_add(Numbers *n, int64_t count)
{
    if (count > n->cap - n->count)
        die("check: %lld numbers do not fit", (long long)count);
    double *at = n->at + n->count;
    n->count += count;
    n->end[n->ends++] = n->count;
    return at;
}

static bool
check_call(Checker *c, Interp *in, const Graph *g, int64_t from, int64_t to, Numbers *out)
{
    int32_t pick[MOST_PICKED]; /* the last row and a few before it */
    const int64_t tokens = to - from, rows = tokens < MOST_PICKED ? tokens : MOST_PICKED;
    for (int64_t r = 0; r < rows; r++)
        pick[r] = (int32_t)(tokens - 1 - r * (tokens / rows));
    int64_t count = 0;
    const char *why = "its output is too large";
    const bool sized = type_count(&g->outputs[0]->type, to - from, rows, &count);
    if (sized &&
        interp_run(in, c->ids + from, to - from, pick, rows, numbers_add(out, count), &why))
        return true;
    diag_error(c->cx->diag, (SrcLoc){0}, "--check-each cannot interpret %s: %s", g->name, why);
    return false;
}

static bool
check_interpret(Checker *c, const Graph *g, Numbers *out)
{
    if (!numbers_new(c, g, out))
        return false;
    Interp *in = interp_new(g, c->weights);
    interp_use_memo(in, c->memo);
    const int64_t first = c->tokens - c->tokens / 3;
    const bool ok =
        check_call(c, in, g, 0, first, out) && check_call(c, in, g, first, c->tokens, out);
    for (int i = 0; ok && i < g->nstates; i++) {
        int64_t count = 0;
        const double *state = interp_state(in, g->states[i]->name, &count);
        double *to = numbers_add(out, state ? count : 0);
        if (state)
            memcpy(to, state, (size_t)count * sizeof *to);
    }
    interp_free(in);
    if (!ok) {
        free(out->at);
        out->at = NULL;
    }
    return ok;
}

/* ---- comparing ---------------------------------------------------------------------------- */

static double
deviation(const double *at, int64_t count)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++)
        sum += at[i];
    const double mean = count ? sum / (double)count : 0;
    for (int64_t i = 0; i < count; i++)
        squares += (at[i] - mean) * (at[i] - mean);
    return count ? sqrt(squares / (double)count) : 0;
}

/* Differences in units of the deviation of `a`; where all of a is one number, of that number, or of
 * 1. A NaN on one side alone is an infinite difference. */
typedef struct {
    double most, rms; /* of several: the greatest */
} Difference;

static Difference
difference_of(const double *a, const double *b, int64_t count)
{
    double unit = deviation(a, count), most = 0, squares = 0;
    if (unit == 0)
        unit = count && a[0] != 0 ? fabs(a[0]) : 1;
    for (int64_t i = 0; i < count; i++) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i])))
            continue;
        const double difference = fabs(a[i] - b[i]) / unit;
        const double finite = isnan(difference) ? INFINITY : difference;
        most = fmax(most, finite);
        squares += finite * finite;
    }
    return (Difference){most, count ? sqrt(squares / (double)count) : 0};
}

static Difference
numbers_difference(const Numbers *a, const Numbers *b)
{
    Difference all = {0};
    int64_t start = 0;
    if (a->ends != b->ends || a->count != b->count)
        return (Difference){INFINITY, INFINITY};
    for (int i = 0; i < a->ends; i++) {
        const Difference one = difference_of(a->at + start, b->at + start, a->end[i] - start);
        all.most = fmax(all.most, one.most);
        all.rms = fmax(all.rms, one.rms);
        start = a->end[i];
    }
    return all;
}

/* ---- the checker -------------------------------------------------------------------------- */

Checker *
checker_new(const Graph *g, PassCtx *cx, const WeightSource *weights)
{
    if (!weights || !weights->open || !g->noutputs) {
        diag_error(cx->diag, (SrcLoc){0}, "--check-each needs weights and an output to compare");
        return NULL;
    }
    Checker *c = arena_alloc(cx->arena, sizeof *c);
    *c = (Checker){.cx = cx, .weights = weights, .arena = arena_new(), .memo = interp_memo_new()};
    c->tokens = check_tokens(g);
    int64_t vocab = INT32_MAX; /* rows of the tables that ids are looked up in: the least */
    for (const Node *n = g->first; n; n = n->next) {
        const Value *table = node_operand(n, 'i') ? node_operand(n, 'W') : NULL;
        if (table && table->type.shape.dim[0].n < vocab)
            vocab = table->type.shape.dim[0].n;
    }
    c->ids = arena_array(c->arena, (size_t)c->tokens, sizeof *c->ids);
    for (int64_t t = 0; t < c->tokens; t++)
        c->ids[t] = (int32_t)(hash_bytes(&t, sizeof t, 1) % (uint64_t)vocab);
    if (check_interpret(c, g, &c->before))
        return c;
    checker_free(c);
    return NULL;
}

/* Standard deviations that weights as sums of two bf16 may move results by. */
static const double TRIPLES = 1e-4;

/* An exact pass may move no number; one that rounds moves each a little, a few of many thousands
 * far more, so that its differences are judged together. */
bool
checker_after(Checker *c, const Graph *g, PassId pass, StrBuf *out)
{
    Numbers after;
    if (!check_interpret(c, g, &after))
        return false;
    const Difference difference = numbers_difference(&c->before, &after);
    const bool rounds = pass_info[pass].rounds;
    const char *what = rounds ? "rms" : "largest";
    const double found = rounds ? difference.rms : difference.most; /* standard deviations */
    double allowed = rounds ? format_info[c->cx->format].tolerance : 1e-9;
    if (rounds && c->cx->dot && strcmp(c->cx->dot, "f32") != 0)
        allowed = fmax(allowed, TRIPLES);
    if (rounds && (c->cx->state_dtype != DTYPE_f32 || c->cx->kept_dtype == DTYPE_bf16))
        allowed = fmax(allowed, format_info[FORMAT_bf16].tolerance);
    sb_printf(out, "check %-13s %s difference %.3g standard deviations (at most %g)\n",
              pass_info[pass].name, what, found, allowed);
    free(c->before.at);
    c->before = after;
    if (found <= allowed)
        return true;
    diag_error(
        c->cx->diag, (SrcLoc){0},
        "pass %s changes the numbers of %s: %s difference %.3g standard deviations, at most %g is "
        "rounding",
        pass_info[pass].name, g->name, what, found, allowed);
    return false;
}

void
checker_free(Checker *c)
{
    free(c->before.at);
    interp_memo_free(c->memo);
    arena_free(c->arena);
}
