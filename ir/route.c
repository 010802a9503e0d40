/* ir/route.c -- route and fold, what is around the experts of a mixture: shapes and references.
 *
 * Source: Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated
 * Mixture-of-Experts Layer" (2017), section 2.1; groups and the correction bias: DeepSeek-AI,
 * "DeepSeek-V3 Technical Report" (2024), section 2.1.2, and its published code. With scores
 * s = softmax(x) or sigmoid(x) of a token's logits
 *
 *     value of group g    the sum of the two greatest s_e + b_e in it
 *     chosen              the `top` greatest s_e + b_e of the experts of the `kept` best groups
 *     p_e                 factor s_e, or factor s_e / (sum of s over the chosen + 1e-20)
 *
 * Of equal numbers the first wins, and one that is NaN is the least of all. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ir/ref.h"
#include "ir/shape.h"

/* ---- shapes --------------------------------------------------------------------------------- */

/* `groups` and `kept` stand together, and leave as many experts as are chosen. */
static bool
want_groups(ShapeResult *r, const Node *node, int64_t experts, int64_t top)
{
    const int64_t groups = node_int(node, ATTR_groups, 1), kept = node_int(node, ATTR_kept, 1);
    if (!attrs_find(&node->attrs, ATTR_groups) != !attrs_find(&node->attrs, ATTR_kept))
        return broken(r, -1, "groups and kept are said together, or neither");
    if (experts % groups != 0 || kept > groups)
        return broken(r, -1, "%lld experts do not divide into groups=%lld of which kept=%lld",
                      (long long)experts, (long long)groups, (long long)kept);
    const int64_t left = kept * (experts / groups);
    return top <= left ||
           broken(r, -1, "top=%lld experts are chosen of %lld", (long long)top, (long long)left);
}

bool
shape_route(const Node *node, ShapeResult *r)
{
    if (!want_tokens(r, node, 0, 0, ""))
        return false;
    const int64_t experts = type_width(operand(node, 0)), top = node_int(node, ATTR_top, 1);
    if (top > IR_MAX_CHOICES)
        return broken(r, -1, "top=%lld, expected %d or fewer", (long long)top, IR_MAX_CHOICES);
    if (!want_groups(r, node, experts, top) ||
        !want_vector(r, node, 1, experts, "one number for each expert"))
        return false;
    const Dim rows = {DIM_CHOICES, top};
    r->out[0] = (Type){
        DTYPE_i32, {1, {rows}}
    };
    r->out[1] = type_rows_of(DTYPE_f32, rows, 1);
    r->nout = 2;
    return true;
}

bool
shape_fold(const Node *node, ShapeResult *r)
{
    if (!want_rows(r, node, 0))
        return false;
    const Type *x = operand(node, 0);
    const int64_t top = node_int(node, ATTR_top, 1);
    if (x->shape.dim[0].kind != DIM_CHOICES || x->shape.dim[0].n != top)
        return unlike(r, node, 0, arena_printf(r->arena, "rows T*%lld", (long long)top),
                      "that many of each token are added up, as `top` says");
    return result(r, type_rows(DTYPE_f32, DIM_TOKENS, type_width(x)));
}

/* ---- references ----------------------------------------------------------------------------- */

static void
scores_of(const RefCall *c, const double *x, double *s, int64_t experts)
{
    const bool softmax = strcmp(node_word(c->node, ATTR_score, ""), "softmax") == 0;
    double most = x[0], sum = 0;
    for (int64_t e = 1; e < experts; e++)
        most = fmax(most, x[e]);
    for (int64_t e = 0; e < experts; e++) {
        s[e] = softmax ? exp(x[e] - most) : 1 / (1 + exp(-x[e]));
        sum += s[e];
    }
    for (int64_t e = 0; softmax && e < experts; e++)
        s[e] /= sum;
}

/* The greatest of v[from, to); it is -INFINITY from then on, as what was chosen before is. */
static int64_t
take_greatest(double *v, int64_t from, int64_t to, double *value)
{
    int64_t best = from;
    for (int64_t i = from + 1; i < to; i++)
        best = v[i] > v[best] ? i : best;
    *value = v[best];
    v[best] = -INFINITY;
    return best;
}

/* Experts of groups that are not kept become -INFINITY in v. */
static void
keep_groups(RefCall *c, double *v, int64_t experts)
{
    const int64_t groups = node_int(c->node, ATTR_groups, 1), each = experts / groups;
    double *value = ref_scratch(c, groups), *copy = ref_scratch(c, experts);
    double *kept = ref_scratch(c, groups);
    memcpy(copy, v, (size_t)experts * sizeof *v);
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 0; i < 2 && i < each; i++) {
            double one = 0;
            (void)take_greatest(copy, g * each, (g + 1) * each, &one);
            value[g] += one;
        }
    for (int64_t i = 0; i < node_int(c->node, ATTR_kept, 1); i++) {
        double one = 0;
        kept[take_greatest(value, 0, groups, &one)] = 1;
    }
    for (int64_t e = 0; e < experts; e++)
        v[e] = kept[e / each] != 0 ? v[e] : -INFINITY;
}

void
ref_route(RefCall *c)
{
    const double *x = ref_in(c, 0), *b = ref_has(c, 1) ? ref_in(c, 1) : NULL; /* [T,E], [E] */
    const int64_t experts = ref_width(&c->in[0]), top = node_int(c->node, ATTR_top, 1);
    const double factor = node_num(c->node, ATTR_factor, 1);
    const bool normalise = node_int(c->node, ATTR_normalise, 0);
    double *s = ref_scratch(c, experts), *v = ref_scratch(c, experts);
    double *chosen = c->out[0].at, *p = c->out[1].at; /* [T*k], [T*k,1] */
    for (int64_t t = 0; t < c->tokens; t++, x += experts, chosen += top, p += top) {
        double sum = 1e-20, value = 0;
        scores_of(c, x, s, experts);
        for (int64_t e = 0; e < experts; e++) /* -FLT_MAX: above what is out of the question */
            v[e] = fmax(s[e] + (b ? b[e] : 0), -FLT_MAX);
        if (attrs_find(&c->node->attrs, ATTR_groups))
            keep_groups(c, v, experts);
        for (int64_t i = 0; i < top; i++) {
            const int64_t e = take_greatest(v, 0, experts, &value);
            chosen[i] = (double)e;
            p[i] = s[e];
            sum += s[e];
        }
        for (int64_t i = 0; i < top; i++)
            p[i] *= factor / (normalise ? sum : 1);
    }
}

void
ref_fold(RefCall *c)
{
    const double *x = ref_in(c, 0); /* [T*k,D] */
    const int64_t D = ref_width(&c->in[0]), top = node_int(c->node, ATTR_top, 1);
    double *y = c->out[0].at; /* [T,D] */
    for (int64_t t = 0; t < c->tokens; t++)
        for (int64_t i = 0; i < top; i++)
            for (int64_t d = 0; d < D; d++)
                y[t * D + d] += x[(t * top + i) * D + d];
}
