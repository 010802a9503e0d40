/* ir/ref_delta.c -- reference of the gated delta rule, token after token.
 *
 * Source: Yang, Kautz and Hatamizadeh, "Gated Delta Networks: Improving Mamba2 with Delta Rule"
 * (2024), equation 10; without its gate Yang, Wang, Zhang, Shen and Kim, "Parallelizing Linear
 * Transformers with the Delta Rule over Sequence Length" (2024), section 2.2. The state is the
 * transpose of theirs, [N,P]: keys along N, values along P. It decays; what it says of the key,
 * S^T k, is compared with the value; and b of the difference is written under the key. By chunks it
 * is the same; but a state of fewer bytes is stored where a chunk ends.
 *
 * With a decay for each channel of a key row n of the state decays by its own: Kimi Team, "Kimi
 * Linear: An Expressive, Efficient Attention Architecture" (2025), equation 1. */
#include <math.h>

#include "ir/ref.h"

enum { DELTA_Q, DELTA_K, DELTA_V, DELTA_G, DELTA_B, DELTA_STATE };

typedef struct {
    int64_t H, P, G, N;
} Dims;

/* What a query or a key is multiplied by. */
static double
factor(const RefCall *c, const double *x /* [N] */, int64_t N)
{
    const Attr *eps = attrs_find(&c->node->attrs, ATTR_eps);
    return eps ? 1 / sqrt(ref_dot(x, x, N) + eps->num) : 1;
}

/* One token of one head: its state [N,P] from before it to after it, and its y [P]. of_q, of_k: the
 * factors of q and k. g: of channel n it is g[n * each]. */
static void
head_step(const Dims *d, const double *q, double of_q, const double *k, double of_k,
          const double *v, const double *g, int64_t each, double beta, double *state, double *y)
{
    for (int64_t p = 0; p < d->P; p++) {
        double said = 0;
        for (int64_t n = 0; n < d->N; n++) {
            state[n * d->P + p] *= exp(g[n * each]);
            said += of_k * k[n] * state[n * d->P + p];
        }
        for (int64_t n = 0; n < d->N; n++) {
            state[n * d->P + p] += of_k * k[n] * beta * (v[p] - said);
            y[p] += of_q * q[n] * state[n * d->P + p];
        }
    }
}

void
ref_delta(RefCall *c)
{
    const double *q = ref_in(c, DELTA_Q), *k = ref_in(c, DELTA_K); /* [T,G,N] */
    const double *v = ref_in(c, DELTA_V);                          /* [T,H,P] */
    const double *g = ref_in(c, DELTA_G), *b = ref_in(c, DELTA_B); /* [T,H] or [T,H,N]; [T,H] */
    double *state = ref_state(c, DELTA_STATE), *y = c->out[0].at;  /* [H,N,P] [T,H,P] */
    const double scale = node_num(c->node, ATTR_scale, 1);
    const Dims d = {.H = node_int(c->node, ATTR_heads, 1),
                    .P = node_int(c->node, ATTR_head_dim, 1),
                    .G = node_int(c->node, ATTR_groups, 1),
                    .N = node_int(c->node, ATTR_state, 1)};
    const int64_t chunk = node_by_chunks(c->node) ? node_int(c->node, ATTR_chunk, CHUNK_ALL) : 1;
    const int64_t window = chunk > 0 ? chunk : c->tokens;
    const int64_t each = node_decays_by_channel(c->node), decays = each ? d.N : 1;
    for (int64_t t = 0; t < c->tokens; t++) {
        for (int64_t h = 0; h < d.H; h++) {
            const int64_t th = t * d.H + h, tg = t * d.G + h / (d.H / d.G);
            const double *query = q + tg * d.N, *key = k + tg * d.N;
            head_step(&d, query, scale * factor(c, query, d.N), key, factor(c, key, d.N),
                      v + th * d.P, g + th * decays, each, b[th], state + h * d.N * d.P,
                      y + th * d.P);
        }
        if ((t + 1) % window == 0 || t + 1 == c->tokens)
            ref_store_state(c, DELTA_STATE);
    }
}
