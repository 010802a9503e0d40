/* ir/selective_scan.c -- selective_scan: its shapes, its work and its reference.
 *
 * Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023),
 * equations 2a and 2b with the discretisation of section 3.6 and algorithm 2: A by zero-order hold,
 * B by dt B. Every channel d has N states of its own, each with a decay of its own:
 *     h_t[n,d] = exp(dt_t[d] A[n,d]) h_(t-1)[n,d] + dt_t[d] B_t[n] x_t[d]
 *     y_t[d]   = sum over n of C_t[n] h_t[n,d] + D[d] x_t[d] */
#include <float.h>
#include <math.h>

#include "ir/ref.h"
#include "ir/shape.h"

enum { SCAN_X, SCAN_DT, SCAN_A, SCAN_B, SCAN_C, SCAN_D, SCAN_STATE };

bool
shape_selective_scan(const Node *node, ShapeResult *r)
{
    const Type *A = operand(node, SCAN_A);
    if (!want_tokens(r, node, SCAN_X, 0, ""))
        return false;
    const int64_t channels = type_width(operand(node, SCAN_X));
    const char *each = arena_printf(r->arena, "operand 1, `%s`, has %lld channels",
                                    node->in[SCAN_X]->name, (long long)channels);
    if (!is_float(A) || !is_const(A) || A->shape.rank != 2 || A->shape.dim[1].n != channels)
        return unlike(r, node, SCAN_A, arena_printf(r->arena, "[N,%lld]", (long long)channels),
                      each);
    const int64_t state[] = {A->shape.dim[0].n, channels};
    const char *states = arena_printf(r->arena, "operand 3, `%s`, has N = %lld rows",
                                      node->in[SCAN_A]->name, (long long)state[0]);
    return want_tokens(r, node, SCAN_DT, channels, each) &&
           want_tokens(r, node, SCAN_B, state[0], states) &&
           want_tokens(r, node, SCAN_C, state[0], states) &&
           want_vector(r, node, SCAN_D, channels, each) &&
           want_state(r, node, SCAN_STATE, 2, state, "one number for each of A") &&
           result(r, type_rows(DTYPE_f32, DIM_TOKENS, channels));
}

/* A state takes dt B x in, and gives to y. */
OpWork
work_selective_scan(const Node *node, int64_t block)
{
    const Shape *A = &operand(node, SCAN_A)->shape;
    const double states = (double)A->dim[0].n * (double)A->dim[1].n;
    (void)block;
    return (OpWork){.macs = 2 * states, .exps = states};
}

/* An A below every f32 is the least of them, as in an SSD: where dt is 0 no time passes. */
static double
decay(double dt, double A)
{
    return exp(dt * (A < -FLT_MAX ? -FLT_MAX : A));
}

void
ref_selective_scan(RefCall *c)
{
    const double *x = ref_in(c, SCAN_X), *dt = ref_in(c, SCAN_DT);   /* [T,D] [T,D] */
    const double *A = ref_in(c, SCAN_A);                             /* [N,D] */
    const double *B = ref_in(c, SCAN_B), *C = ref_in(c, SCAN_C);     /* [T,N] [T,N] */
    const double *D = ref_has(c, SCAN_D) ? ref_in(c, SCAN_D) : NULL; /* [D] */
    double *h = ref_state(c, SCAN_STATE), *y = c->out[0].at;         /* [N,D] [T,D] */
    const int64_t N = c->in[SCAN_A].dim[0], width = c->in[SCAN_A].dim[1];
    for (int64_t t = 0; t < c->tokens; t++) {
        for (int64_t d = 0; d < width; d++) {
            const int64_t td = t * width + d;
            y[td] = D ? D[d] * x[td] : 0;
            for (int64_t n = 0; n < N; n++) {
                const int64_t nd = n * width + d;
                h[nd] = decay(dt[td], A[nd]) * h[nd] + dt[td] * B[t * N + n] * x[td];
                y[td] += C[t * N + n] * h[nd];
            }
        }
        ref_store_state(c, SCAN_STATE);
    }
}
