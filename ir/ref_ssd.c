/* ir/ref_ssd.c -- references of state space duality.
 *
 * Sources: Dao and Gu, "Transformers are SSMs: Generalized Models and Efficient Algorithms Through
 * Structured State Space Duality" (2024): equation 1 (the recurrence, here with the discretisation
 * of Mamba: A_t = exp(dt_t A), B_t = dt_t B_t), section 5 (the dual form), section 6 and listing 1
 * (the chunked algorithm in four steps).
 *
 * Per head, x_t is a row of P channels and h_t an [N,P] matrix:
 *     h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t^T         y_t = C_t^T h_t + D x_t
 * Heads of one group share B and C: head h belongs to group h / (H/G). */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ir/ref.h"

typedef struct {
    int64_t T, H, P, N, G, Q, chunks;
} Dims;

/* Sizes of an op of the group; Q is the chunk length, or T where one chunk holds every token. */
static Dims
dims_of(const RefCall *c)
{
    Dims d = {.T = c->tokens,
              .H = node_int(c->node, ATTR_heads, 1),
              .P = node_int(c->node, ATTR_head_dim, 1),
              .N = node_int(c->node, ATTR_state, 1),
              .G = node_int(c->node, ATTR_groups, 1),
              .Q = node_int(c->node, ATTR_chunk, CHUNK_ALL)};
    if (d.Q <= 0)
        d.Q = d.T;
    d.chunks = (d.T + d.Q - 1) / d.Q;
    return d;
}

static int64_t
group_of(const Dims *d, int64_t head)
{
    return head / (d->H / d->G);
}

static int64_t
least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* dt A, whose exp is the decay of one token. An A below every f32, as exp(A_log) may make it, is
 * the least of them: where dt is 0 no time passes, however fast the head forgets. exp of -1000 is
 * 0, and sums of what is not below it lose nothing that comes after. A NaN stays one. */
static double
log_decay(double dt, double A)
{
    const double log = dt * (A < -FLT_MAX ? -FLT_MAX : A);
    return log < -1000 ? -1000 : log;
}

/* ---- equation 1, token after token --------------------------------------------------------- */

/* One token of one head: state [N,P] from before it to after it, and its y [P]. */
static void
head_step(const Dims *d, double decay, double dt, const double *B, const double *C, const double *x,
          double *state, double *y)
{
    for (int64_t n = 0; n < d->N; n++) {
        double *row = state + n * d->P;
        for (int64_t p = 0; p < d->P; p++) {
            row[p] = decay * row[p] + dt * B[n] * x[p];
            y[p] += C[n] * row[p];
        }
    }
}

/* The state is stored after every `window` tokens and after the last. */
static void
scan(RefCall *c, const double *A /* [H] */, int64_t window)
{
    const Dims d = dims_of(c);
    const double *x = ref_in(c, 0), *dt = ref_in(c, 1);    /* [T,H,P] [T,H] */
    const double *B = ref_in(c, 3), *C = ref_in(c, 4);     /* [T,G,N] [T,G,N] */
    const double *D = ref_has(c, 5) ? ref_in(c, 5) : NULL; /* [H] */
    double *state = ref_state(c, 6), *y = c->out[0].at;    /* [H,N,P] [T,H,P] */
    for (int64_t t = 0; t < d.T; t++) {
        for (int64_t h = 0; h < d.H; h++) {
            const int64_t th = t * d.H + h, tg = t * d.G + group_of(&d, h);
            head_step(&d, exp(log_decay(dt[th], A[h])), dt[th], B + tg * d.N, C + tg * d.N,
                      x + th * d.P, state + h * d.N * d.P, y + th * d.P);
            for (int64_t p = 0; D && p < d.P; p++)
                y[th * d.P + p] += D[h] * x[th * d.P + p];
        }
        if ((t + 1) % window == 0 || t + 1 == d.T)
            ref_store_state(c, 6);
    }
}

void
ref_ssd(RefCall *c)
{
    const double *A_log = ref_in(c, 2); /* [H] */
    const int64_t H = c->in[2].count;
    double *A = arena_array(c->scratch, (size_t)H, sizeof *A);
    for (int64_t h = 0; h < H; h++)
        A[h] = -exp(A_log[h]);
    scan(c, A, dims_of(c).Q);
}

void
ref_ssd_scan(RefCall *c)
{
    scan(c, ref_in(c, 2), node_int(c->node, ATTR_chunk, 1));
}

/* ---- section 6, chunk by chunk ------------------------------------------------------------- */

/* a_t = sum of dt_s A over s = first of the chunk .. t; listing 1's A_cumsum. Then
 * exp(a_i - a_j) is the decay from token j to token i: segsum of listing 1. */
void
ref_chunk_decay(RefCall *c)
{
    const double *dt = ref_in(c, 0), *A = ref_in(c, 1); /* [T,H] [H] */
    const Dims d = dims_of(c);
    const int64_t H = ref_width(&c->in[0]);
    double *a = c->out[0].at; /* [T,H] */
    for (int64_t t = 0; t < d.T; t++)
        for (int64_t h = 0; h < H; h++)
            a[t * H + h] = log_decay(dt[t * H + h], A[h]) + (t % d.Q ? a[(t - 1) * H + h] : 0);
}

/* The C B^T of step 1: cb_(i,j) = C_i . B_j for tokens j <= i of one chunk. */
void
ref_chunk_cb(RefCall *c)
{
    const Dims d = dims_of(c);
    const double *C = ref_in(c, 0), *B = ref_in(c, 1); /* [T,G,N] */
    double *cb = c->out[0].at;                         /* [T,G,Q] */
    for (int64_t i = 0; i < d.T; i++) {
        const int64_t first = i / d.Q * d.Q;
        for (int64_t g = 0; g < d.G; g++)
            for (int64_t j = first; j <= i; j++)
                for (int64_t n = 0; n < d.N; n++)
                    cb[(i * d.G + g) * d.Q + j - first] +=
                        C[(i * d.G + g) * d.N + n] * B[(j * d.G + g) * d.N + n];
    }
}

/* Adds what token t gives to a chunk's state [N,P] of one head: weight B_t x_t^T. */
static void
add_outer(const Dims *d, double weight, const double *B, const double *x, double *state)
{
    for (int64_t n = 0; n < d->N; n++)
        for (int64_t p = 0; p < d->P; p++)
            state[n * d->P + p] += weight * B[n] * x[p];
}

/* Step 2: the state at the end of each chunk if it began with none,
 * sum_j exp(a_last - a_j) dt_j B_j x_j^T. */
void
ref_chunk_state(RefCall *c)
{
    const Dims d = dims_of(c);
    const double *B = ref_in(c, 0), *x = ref_in(c, 1);  /* [T,G,N] [T,H,P] */
    const double *dt = ref_in(c, 2), *a = ref_in(c, 3); /* [T,H] [T,H] */
    double *states = c->out[0].at;                      /* [chunks,H,N,P] */
    for (int64_t t = 0; t < d.T; t++) {
        const int64_t chunk = t / d.Q, last = least((chunk + 1) * d.Q, d.T) - 1;
        for (int64_t h = 0; h < d.H; h++) {
            const int64_t th = t * d.H + h, tg = t * d.G + group_of(&d, h);
            const double weight = exp(a[last * d.H + h] - a[th]) * dt[th];
            add_outer(&d, weight, B + tg * d.N, x + th * d.P,
                      states + (chunk * d.H + h) * d.N * d.P);
        }
    }
}

/* The state before every L-th token, of a sequence that has more; rounded where ref_state_pass
 * stores it. */
void
ref_ssd_starts(RefCall *c)
{
    enum { RUN = 64, LEAST = 2 };
    const Dims d = dims_of(c);
    const double *x = ref_in(c, 0), *dt = ref_in(c, 1); /* [T,H,P] [T,H] */
    const double *A = ref_in(c, 2), *B = ref_in(c, 3);  /* [H] [T,G,N] */
    const int64_t parts = node_int(c->node, ATTR_parts, LEAST), runs = (d.T + RUN - 1) / RUN;
    const int64_t each = (runs + parts - 1) / parts, L = RUN * (each < LEAST ? LEAST : each);
    const int64_t size = d.H * d.N * d.P;
    double *starts = c->out[0].at; /* [2 parts,H,N,P] */
    double *state = arena_array(c->scratch, (size_t)size, sizeof *state);
    memcpy(state, ref_state(c, 4), (size_t)size * sizeof *state);
    for (int64_t t = 0; t < d.T && d.T > L; t++) {
        if (t % L == 0)
            memcpy(starts + t / L * size, state, (size_t)size * sizeof *state);
        for (int64_t h = 0; h < d.H; h++) {
            const int64_t th = t * d.H + h, tg = t * d.G + group_of(&d, h);
            const double decay = exp(log_decay(dt[th], A[h]));
            for (int64_t i = h * d.N * d.P; i < (h + 1) * d.N * d.P; i++)
                state[i] *= decay;
            add_outer(&d, dt[th], B + tg * d.N, x + th * d.P, state + h * d.N * d.P);
        }
        for (int64_t i = 0; (t + 1) % d.Q == 0 && i < size; i++)
            state[i] = ref_round(c->in[4].dtype, state[i]);
    }
}

/* Step 3: h_(chunk+1) = exp(a_last) h_chunk + states_chunk; the result is the state that enters
 * each chunk, and the state operand goes from h_0 to what follows the last chunk. */
void
ref_state_pass(RefCall *c)
{
    const Dims d = dims_of(c);
    const double *states = ref_in(c, 0), *a = ref_in(c, 1); /* [chunks,H,N,P] [T,H] */
    double *state = ref_state(c, 2);                        /* [H,N,P] */
    double *enter = c->out[0].at;                           /* [chunks,H,N,P] */
    const int64_t H = c->in[2].dim[0], size = c->in[2].dim[1] * c->in[2].dim[2];
    for (int64_t chunk = 0; chunk < d.chunks; chunk++) {
        const int64_t last = least((chunk + 1) * d.Q, d.T) - 1;
        memcpy(enter + chunk * H * size, state, (size_t)(H * size) * sizeof *state);
        for (int64_t h = 0; h < H; h++) {
            const double decay = exp(a[last * H + h]);
            for (int64_t i = h * size; i < (h + 1) * size; i++)
                state[i] = decay * state[i] + states[chunk * H * size + i];
        }
        ref_store_state(c, 2);
    }
}

/* Steps 1 and 4 for token i of one head: y_i = sum_j L_ij cb_ij dt_j x_j + exp(a_i) C_i^T h_in. */
typedef struct {
    const double *cb, *a, *dt, *x, *C, *enter; /* as chunk_out's operands */
} OutOperands;

static void
head_out(const Dims *d, const OutOperands *in, int64_t i, int64_t h, double *y /* [P] */)
{
    const int64_t first = i / d->Q * d->Q, g = group_of(d, h), ih = i * d->H + h;
    const double *cb = in->cb + (i * d->G + g) * d->Q;
    for (int64_t j = first; j <= i; j++) {
        const int64_t jh = j * d->H + h;
        const double weight = exp(in->a[ih] - in->a[jh]) * cb[j - first] * in->dt[jh];
        for (int64_t p = 0; p < d->P; p++)
            y[p] += weight * in->x[jh * d->P + p];
    }
    const double *C = in->C + (i * d->G + g) * d->N;
    const double *enter = in->enter + (i / d->Q * d->H + h) * d->N * d->P;
    const double decay = exp(in->a[ih]);
    for (int64_t n = 0; n < d->N; n++)
        for (int64_t p = 0; p < d->P; p++)
            y[p] += decay * C[n] * enter[n * d->P + p];
}

void
ref_chunk_out(RefCall *c)
{
    const Dims d = dims_of(c);
    const OutOperands in = {.cb = ref_in(c, 0),            /* [T,G,Q] */
                            .a = ref_in(c, 1),             /* [T,H] */
                            .dt = ref_in(c, 2),            /* [T,H] */
                            .x = ref_in(c, 3),             /* [T,H,P] */
                            .C = ref_in(c, 4),             /* [T,G,N] */
                            .enter = ref_in(c, 5)};        /* [chunks,H,N,P] */
    const double *D = ref_has(c, 6) ? ref_in(c, 6) : NULL; /* [H] */
    double *y = c->out[0].at;                              /* [T,H,P] */
    for (int64_t i = 0; i < d.T; i++) {
        for (int64_t h = 0; h < d.H; h++) {
            const int64_t ih = (i * d.H + h) * d.P;
            head_out(&d, &in, i, h, y + ih);
            for (int64_t p = 0; D && p < d.P; p++)
                y[ih + p] += D[h] * in.x[ih + p];
        }
    }
}
