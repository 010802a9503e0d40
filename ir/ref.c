/* ir/ref.c -- references of everything but projections (ir/ref_linear.c) and state space
 * duality (ir/ref_ssd.c). */
#include "ir/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- operands ------------------------------------------------------------------------------ */

bool
ref_has(const RefCall *call, int i)
{
    return i < call->node->nin && call->node->in[i] != NULL;
}

const double *
ref_in(RefCall *call, int i)
{
    RefTensor *t = &call->in[i];
    if (t->at != NULL)
        return t->at;
    t->at = block_new(call->blocks, t->count, false);
    if (t->at == NULL)
        die_no_memory((size_t)t->count * sizeof *t->at);
    ref_widen(t->dtype, t->stored, 0, t->count, t->at);
    return t->at;
}

double *
ref_state(RefCall *call, int i)
{
    return call->in[i].at;
}

void
ref_store_state(RefCall *call, int i)
{
    RefTensor *state = &call->in[i];
    for (int64_t e = 0; e < state->count && state->dtype != DTYPE_f32; e++)
        state->at[e] = ref_round(state->dtype, state->at[e]);
}

const double *
ref_row(const RefTensor *t, int64_t r, double *buffer)
{
    const int64_t width = ref_width(t);
    if (t->at != NULL)
        return t->at + r * width;
    ref_widen(t->dtype, t->stored, r * width, width, buffer);
    return buffer;
}

void
ref_release(RefCall *call)
{
    for (int i = 0; i < call->node->nin; i++) {
        RefTensor *t = &call->in[i];
        if (t->stored != NULL)
            block_free(call->blocks, t->at);
    }
}

int64_t
ref_width(const RefTensor *t)
{
    return t->rank == 0 ? 1 : t->dim[t->rank - 1];
}

int64_t
ref_height(const RefTensor *t)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->rank; i++)
        rows *= t->dim[i];
    return rows;
}

double *
ref_scratch(RefCall *call, int64_t count)
{
    return arena_array(call->scratch, (size_t)count, sizeof(double));
}

static size_t
doubles(int64_t count)
{
    return (size_t)count * sizeof(double);
}

double
ref_round(Dtype dtype, double x)
{
    if (dtype == DTYPE_bf16)
        return bf16_to_f32(f32_to_bf16((float)x));
    if (dtype == DTYPE_f16)
        return f16_to_f32(f32_to_f16((float)x));
    return x;
}

/* ---- gather -------------------------------------------------------------------------------- */

void
ref_embed(RefCall *c)
{
    const double *ids = ref_in(c, 0);   /* [T] */
    const RefTensor *table = &c->in[1]; /* [V,D] */
    const int64_t D = ref_width(table);
    double *y = c->out[0].at; /* [T,D] */
    double *buffer = ref_scratch(c, D);
    for (int64_t t = 0; t < c->in[0].count; t++)
        memcpy(y + t * D, ref_row(table, (int64_t)ids[t], buffer), doubles(D));
}

void
ref_take(RefCall *c)
{
    const double *x = ref_in(c, 0), *pick = ref_in(c, 1); /* [T,D], [R] */
    const int64_t D = ref_width(&c->in[0]);
    double *y = c->out[0].at; /* [R,D] */
    for (int64_t r = 0; r < c->rows; r++)
        memcpy(y + r * D, x + (int64_t)pick[r] * D, doubles(D));
}

/* ---- convolution --------------------------------------------------------------------------- */

/* y_t = bias + sum_k w_k x_(t-(K-1)+k), channel by channel; inputs before the first token are the
 * state's, which is left holding the last K-1 inputs, oldest first. */
void
ref_conv1d(RefCall *c)
{
    const double *x = ref_in(c, 0);                           /* [T,C], or columns of more */
    const double *w = ref_in(c, 1);                           /* [C,1,K] or [K,C] */
    const double *bias = ref_has(c, 2) ? ref_in(c, 2) : NULL; /* [C] */
    double *state = ref_state(c, 3);                          /* [K-1,C] */
    const int64_t T = c->in[0].dim[0], all = c->in[0].dim[1], C = c->in[3].dim[1];
    const int64_t past = c->in[3].dim[0], K = past + 1;
    const int64_t first = node_int(c->node, ATTR_column, 0);
    const bool by_channel = c->in[1].rank == 3;
    double *y = c->out[0].at;                        /* [T,C] */
    double *inputs = ref_scratch(c, (past + T) * C); /* state, then x */
    memcpy(inputs, state, doubles(past * C));
    for (int64_t t = 0; t < T; t++)
        memcpy(inputs + (past + t) * C, x + t * all + first, doubles(C));
    for (int64_t t = 0; t < T; t++) {
        for (int64_t ch = 0; ch < C; ch++) {
            double sum = bias ? bias[ch] : 0;
            for (int64_t k = 0; k < K; k++)
                sum += w[by_channel ? ch * K + k : k * C + ch] * inputs[(t + k) * C + ch];
            y[t * C + ch] = sum;
        }
    }
    memcpy(state, inputs + T * C, doubles(past * C));
}

/* ---- row by row ---------------------------------------------------------------------------- */

void
ref_rmsnorm(RefCall *c)
{
    const double *x = ref_in(c, 0);                        /* [T,W] */
    const double *w = ref_has(c, 1) ? ref_in(c, 1) : NULL; /* [W], or [W/groups] for each group */
    const int64_t T = ref_height(&c->in[0]), W = ref_width(&c->in[0]);
    const int64_t groups = node_int(c->node, ATTR_groups, 1), width = W / groups;
    const int64_t ranges = node_factors_repeat(c->node) ? 1 : groups; /* of w */
    const double eps = node_num(c->node, ATTR_eps, 0);
    double *y = c->out[0].at; /* [T,W] */
    for (int64_t i = 0; i < T * groups; i++) {
        const double *group = x + i * width;
        const double scale = 1 / sqrt(ref_dot(group, group, width) / (double)width + eps);
        for (int64_t j = 0; j < width; j++)
            y[i * width + j] = group[j] * scale * (w ? w[i % ranges * width + j] : 1);
    }
}

/* Ba, Kiros and Hinton, "Layer Normalization", section 3; the variance is that of the population.
 */
void
ref_layernorm(RefCall *c)
{
    const double *x = ref_in(c, 0);                        /* [T,W] */
    const double *w = ref_has(c, 1) ? ref_in(c, 1) : NULL; /* [W] */
    const double *b = ref_has(c, 2) ? ref_in(c, 2) : NULL; /* [W] */
    const int64_t T = ref_height(&c->in[0]), W = ref_width(&c->in[0]);
    const double eps = node_num(c->node, ATTR_eps, 0);
    double *y = c->out[0].at; /* [T,W] */
    for (int64_t t = 0; t < T; t++, x += W, y += W) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < W; i++)
            mean += x[i] / (double)W;
        for (int64_t i = 0; i < W; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)W;
        const double scale = 1 / sqrt(variance + eps);
        for (int64_t i = 0; i < W; i++)
            y[i] = (x[i] - mean) * scale * (w ? w[i] : 1) + (b ? b[i] : 0);
    }
}

static const double ROOT_HALF = 0.70710678118654752440;
static const double ROOT_2_OVER_PI = 0.79788456080286535588;

/* ---- pointwise ----------------------------------------------------------------------------- */

/* An operand spread over the result: element (r,i) is element (r * row, i * column). Rank 1 lies
 * along the columns; a single row, a single column and a number are repeated. */
typedef struct {
    const RefTensor *tensor;
    int64_t row, column; /* 0: repeated */
} Spread;

static Spread
spread(RefCall *c, int operand)
{
    const RefTensor *t = &c->in[operand];
    return (Spread){t, ref_height(t) == 1 ? 0 : 1, ref_width(t) == 1 ? 0 : 1};
}

/* Rows from .. to - 1 of the result; buffers hold rows of stored weights. */
static inline void
pointwise_rows(RefCall *c, double (*f)(double, double), int64_t from, int64_t to)
{
    const Spread x = spread(c, 0), y = spread(c, 1);
    const int64_t width = ref_width(&c->out[0]);
    double *buffer = malloc((size_t)(2 * width + 2) * sizeof *buffer);
    if (buffer == NULL)
        die("out of memory: %lld elements of two rows", (long long)width);
    for (int64_t r = from; r < to; r++) {
        double *z = c->out[0].at + r * width;
        const double *xr = ref_row(x.tensor, r * x.row, buffer);
        const double *yr = ref_row(y.tensor, r * y.row, buffer + width + 1);
        if (x.column && y.column) /* what most are: a loop that becomes vectors */
            for (int64_t i = 0; i < width; i++)
                z[i] = f(xr[i], yr[i]);
        else
            for (int64_t i = 0; i < width; i++)
                z[i] = f(xr[i * x.column], yr[i * y.column]);
    }
    free(buffer);
}

static double
plus(double x, double y)
{
    return x + y;
}

static double
minus(double x, double y)
{
    return x - y;
}

static double
times(double x, double y)
{
    return x * y;
}

static void
arithmetic_rows(RefCall *c, void *user, int64_t from, int64_t to)
{
    (void)user;
    if (c->node->op == OP_add)
        pointwise_rows(c, plus, from, to);
    else if (c->node->op == OP_sub)
        pointwise_rows(c, minus, from, to);
    else
        pointwise_rows(c, times, from, to);
}

static void
arithmetic(RefCall *c)
{
    ref_parallel(c, ref_height(&c->out[0]), c->out[0].count, arithmetic_rows, NULL);
}

void
ref_add(RefCall *c)
{
    arithmetic(c);
}

void
ref_sub(RefCall *c)
{
    arithmetic(c);
}

void
ref_mul(RefCall *c)
{
    arithmetic(c);
}

/* Neither branch raises e to a positive power. */
static double
sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* ref_<op>, from the element y that it makes of each element x. */
#define POINTWISE(op, y)                                                                           \
    void ref_##op(RefCall *c)                                                                      \
    {                                                                                              \
        const double *in = ref_in(c, 0);                                                           \
        for (int64_t i = 0; i < c->out[0].count; i++) {                                            \
            const double x = in[i];                                                                \
            c->out[0].at[i] = (y);                                                                 \
        }                                                                                          \
    }

POINTWISE(neg, -x)
POINTWISE(exp, exp(x))
POINTWISE(log, log(x))
POINTWISE(sigmoid, sigmoid(x))
POINTWISE(silu, sigmoid(x) * x)
POINTWISE(softplus, (x > 0 ? x : 0) + log1p(exp(-fabs(x)))) /* = log(1 + e^x) */
POINTWISE(tanh, tanh(x))
POINTWISE(gelu, x / 2 * (1 + tanh(ROOT_2_OVER_PI * (x + 0.044715 * x * x * x))))
POINTWISE(gelu_erf, x / 2 * erfc(-x * ROOT_HALF)) /* 1 + erf(u) = erfc(-u) */
POINTWISE(relu, x < 0 ? 0 : x)
POINTWISE(square, (x * x))

void
ref_clamp(RefCall *c)
{
    const double *range = attrs_find(&c->node->attrs, ATTR_range)->nums; /* low, high */
    const double *x = ref_in(c, 0);
    for (int64_t i = 0; i < c->out[0].count; i++) /* a NaN stays one */
        c->out[0].at[i] = x[i] < range[0] ? range[0] : x[i] > range[1] ? range[1] : x[i];
}

/* Values of type f32 are held as doubles, so that only a cast to a narrower type rounds: through
 * f32, as code that computes in f32 does. */
void
ref_cast(RefCall *c)
{
    const double *x = ref_in(c, 0);
    for (int64_t i = 0; i < c->out[0].count; i++)
        c->out[0].at[i] = ref_round(c->out[0].dtype, x[i]);
}

/* ---- views --------------------------------------------------------------------------------- */

void
ref_split(RefCall *c)
{
    const double *x = ref_in(c, 0); /* [T,W] */
    const int64_t T = ref_height(&c->in[0]), W = ref_width(&c->in[0]);
    int64_t column = 0;
    for (int i = 0; i < c->node->nout; i++) {
        const int64_t width = ref_width(&c->out[i]);
        for (int64_t t = 0; t < T; t++)
            memcpy(c->out[i].at + t * width, x + t * W + column, doubles(width));
        column += width;
    }
}

/* ---- parameters ---------------------------------------------------------------------------- */

void
ref_transpose(RefCall *c)
{
    const double *w = ref_in(c, 0); /* [C,1,K] or [C,K] */
    const int64_t C = c->out[0].dim[1], K = c->out[0].dim[0];
    for (int64_t k = 0; k < K; k++)
        for (int64_t ch = 0; ch < C; ch++)
            c->out[0].at[k * C + ch] = w[ch * K + k]; /* [K,C] */
}
