/* ir/ref_linear.c -- references of projections, of quantisation and of packing. */
#include "ir/ref.h"

#include <math.h>
#include <stdlib.h>

/* ---- several matrices ------------------------------------------------------------------------ */

/* Matrix e of a stack of them. */
static RefTensor
matrix_of(const RefTensor *stack, int64_t e)
{
    RefTensor t = *stack;
    t.rank--;
    t.count = stack->dim[0] ? stack->count / stack->dim[0] : 0;
    for (int i = 0; i < t.rank; i++)
        t.dim[i] = stack->dim[i + 1];
    if (t.at)
        t.at += e * t.count;
    if (t.stored)
        t.stored = (const char *)t.stored + e * t.count * dtype_info[t.dtype].bytes;
    return t;
}

/* ---- packed weights -------------------------------------------------------------------------- */

/* Row o of a matrix in its packed form [O/NR,K/step,NR] or [O/NR,K/step,NR,step]: runs of `step`
 * elements, `stride` apart. */
typedef struct {
    double *at;
    int64_t step, stride;
} PackedRow;

static PackedRow
packed_row(const RefTensor *packed, int64_t o)
{
    const int64_t steps = packed->dim[1], panel = packed->dim[2];
    const int64_t step = packed->rank == 3 ? 1 : packed->dim[3];
    return (PackedRow){packed->at + (o / panel * steps * panel + o % panel) * step, step,
                       panel * step};
}

/* The byte of two u4 that holds element k: inputs 8i .. 8i+3 are in low halves. */
static double *
nibble_at(const PackedRow *row, int64_t k)
{
    const int64_t byte = k / 8 * 4 + k % 4;
    return row->at + byte / row->step * row->stride + byte % row->step;
}

/* A number as a sum of two bf16: the nearest one, and the nearest to what is left. */
static double
high_part(double x)
{
    return ref_round(DTYPE_bf16, x);
}

static double
low_part(double x)
{
    return ref_round(DTYPE_bf16, x - high_part(x));
}

/* Input k of a packed row of such sums, its high part; the low one is IR_TRIPLE_STEP behind. */
static double *
high_at(const PackedRow *row, int64_t k)
{
    const int64_t at = k / IR_TRIPLE_STEP * 2 * IR_TRIPLE_STEP + k % IR_TRIPLE_STEP;
    return row->at + at / row->step * row->stride + at % row->step;
}

static double *
low_at(const PackedRow *row, int64_t k)
{
    return high_at(row, k) + IR_TRIPLE_STEP / row->step * row->stride;
}

/* Row o of a weight of sums of two bf16, packed or [O,K]. */
static const double *
triple_row(const RefTensor *w, int64_t o, int64_t K, double *buffer)
{
    const double *plain = w->rank == 2 ? ref_row(w, o, buffer) : NULL;
    const PackedRow row = plain ? (PackedRow){0} : packed_row(w, o);
    for (int64_t k = 0; k < K; k++)
        buffer[k] =
            plain ? high_part(plain[k]) + low_part(plain[k]) : *high_at(&row, k) + *low_at(&row, k);
    return buffer;
}

/* Row o of a weight, packed or [O,K]. */
static const double *
weight_row(const RefTensor *w, int64_t o, int64_t K, double *buffer)
{
    if (w->rank == 2)
        return ref_row(w, o, buffer);
    const PackedRow row = packed_row(w, o);
    const double offset = w->dtype == DTYPE_u8 ? 128 : 0;
    for (int64_t k = 0; w->dtype == DTYPE_u4x2 && k < K; k++) {
        const int byte = (int)*nibble_at(&row, k);
        buffer[k] = k % 8 < 4 ? byte % 16 : byte / 16;
    }
    if (w->dtype == DTYPE_u4x2)
        return buffer;
    for (int64_t k = 0; k < K; k += row.step)
        for (int64_t i = 0; i < row.step && k + i < K; i++)
            buffer[k + i] = row.at[k / row.step * row.stride + i] - offset;
    return buffer;
}

/* [K] for a row of a weight; the caller frees it. */
static double *
row_buffer(int64_t K)
{
    double *buffer = malloc((size_t)(K + 1) * sizeof *buffer);
    if (buffer == NULL)
        die("out of memory: %lld elements of a row", (long long)K);
    return buffer;
}

static void
pack_rows(RefCall *c, void *user, int64_t from, int64_t to)
{
    const RefTensor *w = &c->in[0]; /* [O,K] or [E,O,K] */
    const int64_t K = ref_width(w), first = node_int(c->node, ATTR_first, 0);
    const double offset = w->dtype == DTYPE_i8 ? 128 : 0;
    double *buffer = row_buffer(K);
    const bool triples = node_in_triples(c->node);
    (void)user;
    const int64_t O = w->rank == 3 ? w->dim[1] : 0; /* rows of each matrix; 0: there is one */
    for (int64_t o = from; o < to; o++) {
        const double *x = ref_row(w, first + o, buffer);
        const RefTensor out = O ? matrix_of(&c->out[0], o / O) : c->out[0];
        const PackedRow row = packed_row(&out, O ? o % O : o);
        for (int64_t k = 0; triples && k < K; k++) {
            *high_at(&row, k) = high_part(x[k]);
            *low_at(&row, k) = low_part(x[k]);
        }
        for (int64_t k = 0; w->dtype == DTYPE_u4 && k < K; k++)
            *nibble_at(&row, k) += k % 8 < 4 ? x[k] : 16 * x[k];
        for (int64_t k = 0; w->dtype != DTYPE_u4 && !triples && k < K; k += row.step)
            for (int64_t i = 0; i < row.step && k + i < K; i++)
                row.at[k / row.step * row.stride + i] = x[k + i] + offset;
    }
    free(buffer);
}

void
ref_pack(RefCall *c)
{
    const RefTensor *w = &c->in[0]; /* [O,K] or [E,O,K] */
    RefTensor *y = &c->out[0];
    const int64_t first = node_int(c->node, ATTR_first, 0);
    const int64_t O = node_int(c->node, ATTR_rows, ref_height(w) - first);
    for (int64_t i = 0; i < y->count; i++)
        y->at[i] = w->dtype == DTYPE_i8 ? 128 : 0;
    ref_parallel(c, O, y->count, pack_rows, NULL);
}

/* ---- linear ---------------------------------------------------------------------------------- */

static void
linear_rows(RefCall *c, void *user, int64_t from, int64_t to)
{
    const double *x = c->in[0].at;                           /* [T,K] */
    const RefTensor *w = &c->in[1];                          /* [O,K] or packed */
    const double *bias = ref_has(c, 2) ? c->in[2].at : NULL; /* [O] */
    const int64_t T = ref_height(&c->in[0]), K = ref_width(&c->in[0]), O = ref_width(&c->out[0]);
    const int64_t first = node_int(c->node, ATTR_first, 0);
    double *y = c->out[0].at;   /* [T,O] */
    const double *scale = user; /* of each row of x; NULL: none */
    double *buffer = row_buffer(K);
    for (int64_t o = from; o < to; o++) {
        const double *row = (node_in_triples(c->node) ? triple_row : weight_row)(
            w, w->rank > 2 ? o : first + o, K, buffer);
        ref_dots(x, T, row, K, y + o, O);
        for (int64_t t = 0; scale && t < T; t++)
            y[t * O + o] *= scale[t];
        for (int64_t t = 0; bias && t < T; t++)
            y[t * O + o] += bias[first + o];
    }
    free(buffer);
}

/* As an rmsnorm of x would have it. */
static double *
row_scales(RefCall *c)
{
    const int64_t T = ref_height(&c->in[0]), K = ref_width(&c->in[0]);
    const double *x = ref_in(c, 0), eps = node_num(c->node, ATTR_eps, 0);
    if (!attrs_find(&c->node->attrs, ATTR_eps))
        return NULL;
    double *scale = row_buffer(T);
    for (int64_t t = 0; t < T; t++)
        scale[t] = 1 / sqrt(ref_dot(x + t * K, x + t * K, K) / (double)K + eps);
    return scale;
}

void
ref_linear(RefCall *c)
{
    const int64_t O = ref_width(&c->out[0]);
    double *scale = row_scales(c);
    if (c->in[1].rank > 2)
        (void)ref_in(c, 1);
    if (ref_has(c, 2))
        (void)ref_in(c, 2);
    ref_parallel(c, O, O * c->in[0].count, linear_rows, scale);
    free(scale);
}

/* ---- integers ----------------------------------------------------------------------------- */

/* The greatest magnitude; NaN if there is one. */
static double
greatest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n && !isnan(most); i++)
        most = fabs(x[i]) <= most ? most : fabs(x[i]);
    return most;
}

/* x / s to the nearest integer in low .. high; 0 where s is 0. */
static double
whole(double x, double s, double low, double high)
{
    const double q = s != 0 ? nearbyint(x / s) : 0;
    return q < low ? low : q > high ? high : q;
}

void
ref_quantise(RefCall *c)
{
    const double *x = ref_in(c, 0); /* [T,K] */
    const int64_t T = ref_height(&c->in[0]), K = ref_width(&c->in[0]);
    double *q = c->out[0].at, *s = c->out[1].at; /* [T,K], [T,1] */
    for (int64_t t = 0; t < T; t++) {
        s[t] = greatest(x + t * K, K) / 127;
        for (int64_t k = 0; k < K; k++)
            q[t * K + k] = whole(x[t * K + k], s[t], -127, 127);
    }
}

/* One group of a row; m: where its u4 minimum goes, NULL: i8. */
static void
find_scale(const double *w, int64_t n, Dtype scale, double *s, double *m)
{
    double low = w[0], high = w[0];
    for (int64_t k = 1; k < n; k++) {
        low = w[k] < low ? w[k] : low;
        high = w[k] > high ? w[k] : high;
    }
    *s = ref_round(scale, m ? (high - low) / 15 : greatest(w, n) / 127);
    if (m)
        *m = ref_round(scale, low);
}

/* Signed bytes that are given with their scales may be -128. */
static void
quantise_group(const double *w, int64_t n, double s, const double *m, bool given, double *q)
{
    for (int64_t k = 0; k < n; k++)
        q[k] = m ? whole(w[k] - *m, s, 0, 15) : whole(w[k], s, given ? -128 : -127, 127);
}

static void
quantise_weight(RefCall *c, double *m)
{
    const RefTensor *w = &c->in[0]; /* [all,K], or [E,O,K] */
    const int64_t O = ref_height(&c->out[0]), K = ref_width(w), G = ref_width(&c->out[1]);
    const int64_t group = node_int(c->node, ATTR_group, K);
    const int64_t first = node_int(c->node, ATTR_first, 0);
    const bool given = ref_has(c, 1);
    double *buffer = ref_scratch(c, K), *s = c->out[1].at;
    for (int64_t i = 0; i < O * G; i++) {
        const int64_t o = i / G, from = i % G * group, left = K - from;
        const double *row = ref_row(w, first + o, buffer) + from;
        const int64_t n = left < group ? left : group;
        if (given) {
            s[i] = ref_in(c, 1)[first * G + i];
            if (m)
                m[i] = ref_in(c, 2)[first * G + i];
        } else {
            find_scale(row, n, c->out[1].dtype, s + i, m ? m + i : NULL);
        }
        quantise_group(row, n, s[i], m ? m + i : NULL, given, c->out[0].at + o * K + from);
    }
}

void
ref_quantise_i8(RefCall *c)
{
    quantise_weight(c, NULL);
}

void
ref_quantise_u4(RefCall *c)
{
    quantise_weight(c, c->out[2].at);
}

/* Row o of a weight of integers as real numbers: s_g q + m_g, m if there is one. */
static void
real_row(const RefTensor *w, const RefTensor *s, const RefTensor *m, int64_t o, int64_t K,
         int64_t group, double *full)
{
    const int64_t G = (K + group - 1) / group;
    double *buffer = row_buffer(K), *scales = row_buffer(G), *least = row_buffer(G);
    const double *q = weight_row(w, o, K, buffer), *scale = weight_row(s, o, G, scales);
    const double *low = m ? weight_row(m, o, G, least) : NULL;
    for (int64_t k = 0; k < K; k++)
        full[k] = scale[k / group] * q[k] + (low ? low[k / group] : 0);
    free(buffer);
    free(scales);
    free(least);
}

/* y = xs sum_g (s_g (q_g . x_g) + m_g sum x_g) + bias; operand 3 is s, and operand 4 m if there is
 * one. */
static void
linear_integers(RefCall *c, bool has_m)
{
    const double *x = ref_in(c, 0), *xs = ref_in(c, 1); /* [T,K], [T,1] */
    const RefTensor *w = &c->in[2];
    const int bias_slot = has_m ? 5 : 4;
    const double *bias = ref_has(c, bias_slot) ? ref_in(c, bias_slot) : NULL;
    const int64_t T = ref_height(&c->in[0]), K = ref_width(&c->in[0]), O = ref_width(&c->out[0]);
    const int64_t group = node_int(c->node, ATTR_group, K);
    const int64_t first = node_int(c->node, ATTR_first, 0);
    double *full = ref_scratch(c, K);
    for (int i = 2; i < 4 + has_m; i++)
        (void)ref_in(c, i);
    for (int64_t o = 0; o < O; o++) {
        real_row(w, &c->in[3], has_m ? &c->in[4] : NULL, o, K, group, full);
        double *y = c->out[0].at + o; /* [T,O] */
        ref_dots(x, T, full, K, y, O);
        for (int64_t t = 0; t < T; t++)
            y[t * O] = xs[t] * y[t * O] + (bias ? bias[first + o] : 0);
    }
}

void
ref_linear_i8(RefCall *c)
{
    linear_integers(c, false);
}

void
ref_linear_u4(RefCall *c)
{
    linear_integers(c, true);
}

/* ---- experts ------------------------------------------------------------------------------ */

/* Row o of the matrix of expert e, as real numbers. */
static const double *
expert_row(const RefCall *c, int64_t e, int64_t o, int64_t K, double *buffer)
{
    static const char letters[] = "WFM";
    RefTensor of[3] = {0};
    for (int i = 0; letters[i]; i++) {
        const int slot = op_slot(c->node->op, letters[i]);
        if (slot >= 0)
            of[i] = matrix_of(&c->in[slot], e);
    }
    if (!of[1].rank)
        return (node_in_triples(c->node) ? triple_row : weight_row)(&of[0], o, K, buffer);
    real_row(&of[0], &of[1], of[2].rank ? &of[2] : NULL, o, K, node_int(c->node, ATTR_group, K),
             buffer);
    return buffer;
}

/* Columns [from, to) of all rows: expert after expert, so that a row of a weight is made once. */
static void
expert_columns(RefCall *c, void *user, int64_t from, int64_t to)
{
    const double *x = c->in[0].at, *chosen = c->in[op_slot(c->node->op, 'e')].at;
    const double *scale = op_slot(c->node->op, 'f') < 0 ? NULL : c->in[1].at;
    const int64_t rows = ref_height(&c->out[0]), O = ref_width(&c->out[0]);
    const int64_t K = ref_width(&c->in[0]), each = rows / (c->in[0].count / K);
    double *buffer = row_buffer(K);
    (void)user;
    for (int64_t e = 0; e < node_experts(c->node); e++) {
        bool any = false;
        for (int64_t r = 0; r < rows && !any; r++)
            any = (int64_t)chosen[r] == e;
        for (int64_t o = from; any && o < to; o++) {
            const double *row = expert_row(c, e, o, K, buffer);
            for (int64_t r = 0; r < rows; r++) {
                if ((int64_t)chosen[r] == e)
                    c->out[0].at[r * O + o] =
                        ref_dot(x + r / each * K, row, K) * (scale ? scale[r / each] : 1);
            }
        }
    }
    free(buffer);
}

void
ref_experts(RefCall *c)
{
    const int64_t O = ref_width(&c->out[0]);
    for (int i = 0; i < c->node->nin; i++)
        if (i != op_slot(c->node->op, 'W') || c->in[i].rank > 3)
            (void)ref_in(c, i);
    ref_parallel(c, O, c->out[0].count * ref_width(&c->in[0]), expert_columns, NULL);
}

void
ref_experts_i8(RefCall *c)
{
    ref_experts(c);
}

void
ref_experts_u4(RefCall *c)
{
    ref_experts(c);
}
