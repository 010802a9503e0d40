/* ir/attention.c -- keep, attention and the two ops that it is lowered to: shapes, work and
 * references.
 *
 * Source: Vaswani et al., "Attention Is All You Need" (2017), section 3.2.1, equation 1, causal;
 * grouped queries: Ainslie et al., "GQA: Training Generalized Multi-Query Transformer Models from
 * Multi-Head Checkpoints" (2023). The token at position t of its sequence, in query head h, whose
 * keys and values are those of group g = h / (H/G):
 *
 *     s_tu = scale q_t . k_u              for u in t - window + 1 .. t
 *     s_tu = softcap tanh(s_tu / softcap) where there is a softcap (Gemma 2)
 *     y_t  = sum over u of exp(s_tu) v_u / sum over u of exp(s_tu)
 *
 * attention_sums gives both sums, and the greatest score that they count from; attention_join
 * divides. */
#include <math.h>
#include <string.h>

#include "ir/ref.h"
#include "ir/shape.h"

enum { ATTEND_Q, ATTEND_K, ATTEND_V };

/* ---- shapes ------------------------------------------------------------------------------- */

static Type
kept_rows(Dtype dtype, int64_t width)
{
    return type_rows(dtype, DIM_KEPT, width);
}

bool
shape_keep(const Node *node, ShapeResult *r)
{
    static const char *const layouts[] = {"rows", "keys", "values"};
    const char *layout = node_word(node, ATTR_layout, "rows");
    if (!want_tokens(r, node, 0, 0, ""))
        return false;
    const int64_t width = type_width(operand(node, 0));
    const Value *state = node->nin > 1 ? node->in[1] : NULL;
    bool known = false;
    for (size_t i = 0; i < COUNT_OF(layouts); i++)
        known = known || strcmp(layout, layouts[i]) == 0;
    if (!known)
        return broken(r, -1, "layout=%s, expected rows, keys or values", layout);
    if (width % node_int(node, ATTR_head_dim, 1) != 0)
        return broken(r, 0, "%lld columns do not divide into heads of head_dim=%lld",
                      (long long)width, (long long)node_int(node, ATTR_head_dim, 1));
    r->state = kept_rows(state && state->type.dtype == DTYPE_bf16 ? DTYPE_bf16 : DTYPE_f32, width);
    if (state && !type_equal(&state->type, &r->state))
        return unlike(r, node, 1, type_text(r, &r->state),
                      "the state has a row for each token, as wide as operand 1");
    return result(r, r->state);
}

/* Keys or values: [S,G*P], where an attribute says P. */
static bool
want_kept(ShapeResult *r, const Node *node, int slot, int64_t width, const char *channels)
{
    const Type *t = operand(node, slot);
    if (is_float(t) && t->shape.rank == 2 && type_grows(t) && type_width(t) == width)
        return true;
    const Type wanted = kept_rows(DTYPE_f32, width);
    return unlike(
        r, node, slot, type_text(r, &wanted),
        arena_printf(r->arena, "rows that a `keep` has kept, groups * %s wide", channels));
}

/* The result has `more` columns for each head than the values have. */
static bool
attends(ShapeResult *r, const Node *node, int64_t more)
{
    const int64_t heads = node_int(node, ATTR_heads, 1), groups = node_int(node, ATTR_groups, 1);
    const int64_t head_dim = node_int(node, ATTR_head_dim, 1), value_dim = node_value_dim(node);
    int64_t width = 0, out = 0;
    if (heads % groups != 0)
        return broken(r, -1, "heads=%lld do not divide into groups=%lld", (long long)heads,
                      (long long)groups);
    if (!size_mul(heads, head_dim, &width) || !size_mul(heads, value_dim + more, &out))
        return broken(r, -1, "heads times head_dim, or times value_dim, is too large");
    if (!(node_num(node, ATTR_softcap, 1) > 0))
        return broken(r, -1, "softcap is above 0");
    const char *origin = arena_printf(r->arena, "heads=%lld of head_dim=%lld", (long long)heads,
                                      (long long)head_dim);
    return want_tokens(r, node, ATTEND_Q, width, origin) &&
           want_kept(r, node, ATTEND_K, groups * head_dim, "head_dim") &&
           want_kept(r, node, ATTEND_V, groups * value_dim,
                     value_dim == head_dim ? "head_dim" : "value_dim") &&
           result(r, type_rows(DTYPE_f32, DIM_TOKENS, out));
}

bool
shape_attention(const Node *node, ShapeResult *r)
{
    return attends(r, node, 0);
}

/* O, m and l of each head. */
enum { SUMS_MORE = 2 };

bool
shape_attention_sums(const Node *node, ShapeResult *r)
{
    return attends(r, node, SUMS_MORE);
}

bool
shape_attention_join(const Node *node, ShapeResult *r)
{
    const int64_t heads = node_int(node, ATTR_heads, 1);
    const int64_t channels = node_value_dim(node);
    int64_t width = 0;
    if (!size_mul(heads, channels + SUMS_MORE, &width))
        return broken(r, -1, "heads times head_dim, or times value_dim, is too large");
    return want_tokens(r, node, 0, width, "heads * (head_dim + 2), as attention_sums gives them") &&
           result(r, type_rows(DTYPE_f32, DIM_TOKENS, heads * channels));
}

/* Of a row, in the mean of the first `block` of a sequence: row t looks at min(t, window). */
OpWork
work_attention(const Node *node, int64_t block)
{
    const int64_t window = node_int(node, ATTR_window, INT64_MAX);
    const double rows = (double)block, before = fmax(rows - (double)window, 0);
    const double read = rows > 0 ? (rows + 1) / 2 - before * (before + 1) / 2 / rows : 0;
    const double heads = (double)node_int(node, ATTR_heads, 1);
    const double both = (double)node_int(node, ATTR_head_dim, 1) + (double)node_value_dim(node);
    return (OpWork){.macs = heads * both * read, .exps = heads * read};
}

/* ---- references --------------------------------------------------------------------------- */

void
ref_keep(RefCall *c)
{
    const double *x = ref_in(c, 0); /* [T,W] */
    double *state = ref_state(c, 1), *y = c->out[0].at;
    const int64_t added = c->in[0].count, all = c->in[1].count; /* T*W, S*W */
    memcpy(state + (all - added), x, (size_t)added * sizeof *x);
    ref_store_state(c, 1);
    memcpy(y, state, (size_t)all * sizeof *y);
}

typedef struct {
    const double *q, *k, *v; /* [T,H*P] [S,G*P] [S,G*V], V channels of a value */
    int64_t before;          /* tokens of the sequence before the first row */
    double *weights;         /* [T,S] */
    bool sums;               /* the result is [T,H*(V+2)]: sums that nothing has divided */
} Attend;

/* One query head of one token: O [V], of zeros; its m and l. */
static void
attend(RefCall *c, const Attend *a, int64_t t, int64_t head, double *O, double *m, double *l)
{
    const Node *n = c->node;
    const int64_t P = node_int(n, ATTR_head_dim, 1), H = node_int(n, ATTR_heads, 1);
    const int64_t G = node_int(n, ATTR_groups, 1), group = head / (H / G), V = node_value_dim(n);
    const int64_t last = a->before + t, window = node_int(n, ATTR_window, last + 1);
    const int64_t first = last + 1 > window ? last + 1 - window : 0;
    const double scale = node_num(n, ATTR_scale, 1), cap = node_num(n, ATTR_softcap, 0);
    const double *q = a->q + (t * H + head) * P;
    double *w = a->weights + t * (a->before + c->tokens), most = -INFINITY;
    for (int64_t u = first; u <= last; u++) {
        w[u] = scale * ref_dot(q, a->k + (u * G + group) * P, P);
        w[u] = cap > 0 ? cap * tanh(w[u] / cap) : w[u];
        most = fmax(most, w[u]);
    }
    for (int64_t u = first; u <= last; u++)
        *l += w[u] = exp(w[u] - most);
    for (int64_t u = first; u <= last; u++)
        for (int64_t i = 0; i < V; i++)
            O[i] += w[u] * a->v[(u * G + group) * V + i];
    *m = most / log(2);
}

static void
attend_rows(RefCall *c, void *user, int64_t from, int64_t to)
{
    const Attend *a = user;
    const int64_t V = node_value_dim(c->node), H = node_int(c->node, ATTR_heads, 1);
    const int64_t width = ref_width(&c->out[0]);
    for (int64_t t = from; t < to; t++)
        for (int64_t head = 0; head < H; head++) {
            double *row = c->out[0].at + t * width, *O = row + head * V, m = 0, l = 0;
            attend(c, a, t, head, O, &m, &l);
            if (a->sums) {
                row[H * V + head] = m;
                row[H * V + H + head] = l;
            }
            for (int64_t i = 0; i < V && !a->sums; i++)
                O[i] /= l;
        }
}

static void
attend_all(RefCall *c, bool sums)
{
    Attend a = {
        .q = ref_in(c, ATTEND_Q), .k = ref_in(c, ATTEND_K), .v = ref_in(c, ATTEND_V), .sums = sums};
    const int64_t S = c->in[ATTEND_K].dim[0], width = ref_width(&c->in[ATTEND_Q]);
    a.before = S - c->tokens;
    a.weights = ref_scratch(c, c->tokens * S);
    ref_parallel(c, c->tokens, c->tokens * S * width, attend_rows, &a);
}

void
ref_attention(RefCall *c)
{
    attend_all(c, false);
}

void
ref_attention_sums(RefCall *c)
{
    attend_all(c, true);
}

void
ref_attention_join(RefCall *c)
{
    const int64_t V = node_value_dim(c->node), H = node_int(c->node, ATTR_heads, 1);
    const double *sums = ref_in(c, 0); /* [T,H*(V+2)] */
    for (int64_t t = 0; t < c->tokens; t++)
        for (int64_t i = 0; i < H * V; i++) {
            const double *row = sums + t * H * (V + SUMS_MORE);
            c->out[0].at[t * H * V + i] = row[i] / row[H * V + H + i / V];
        }
}
