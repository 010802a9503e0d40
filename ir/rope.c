/* ir/rope.c -- angles and rope, rotary positions: shapes and references.
 *
 * Source: Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021),
 * section 3.2.2, equations 15 and 34. With w_i = theta^(-2i/rotary) channels x and x' of a head at
 * position p become
 *
 *     x cos(p w_i) - x' sin(p w_i)   and   x' cos(p w_i) + x sin(p w_i)
 *
 * Here x is channel i and x' channel i + rotary/2, as in GPT-NeoX and since; the paper has x' next
 * to x, which is another order of the rows of the weights that make them.
 *
 * Scalings of w_i. linear: Chen et al., "Extending Context Window of Large Language Models via
 * Position Interpolation" (2023). llama3: by wavelength, Llama 3.1's reference code. yarn: Peng et
 * al., "YaRN: Efficient Context Window Extension of Large Language Models" (2023), sections 3.2 and
 * 3.3, equations 18 to 23. longrope: Ding et al., "LongRoPE" (2024), equation 1, each pair of
 * channels by a factor of its own. */
#include <math.h>
#include <string.h>

#include "ir/ref.h"
#include "ir/shape.h"

static const double PI = 3.14159265358979323846;

/* ---- frequencies ------------------------------------------------------------------------------
 */

enum { EACH_PAIR = -1 };

static const struct {
    const char *name;
    int factors;
} scalings[] = {
    {"none",     0        },
    {"linear",   1        },
    {"llama3",   4        },
    {"yarn",     5        },
    {"longrope", EACH_PAIR},
};

/* Factors that the node's scaling takes. */
static int64_t
factors_of(const Node *node)
{
    const char *word = node_word(node, ATTR_scaling, "none");
    size_t i = 0;
    while (i + 1 < COUNT_OF(scalings) && strcmp(word, scalings[i].name) != 0)
        i++;
    return scalings[i].factors == EACH_PAIR ? node_int(node, ATTR_rotary, 0) / 2
                                            : scalings[i].factors;
}

/* Slow waves are divided by the factor, fast ones stay, between them a mixture. */
static double
llama3(double w, const double *f)
{
    const double factor = f[0], low = f[1], high = f[2], trained = f[3];
    const double turns = trained * w / (2 * PI); /* within the trained length */
    if (turns < low)
        return w / factor;
    if (turns > high)
        return w;
    const double share = (turns - low) / (high - low);
    return (1 - share) * w / factor + share * w;
}

/* The pair of channels that turns so many times within the trained length. */
static double
yarn_pair(double turns, double theta, double rotary, double trained)
{
    return rotary * log(trained / (turns * 2 * PI)) / (2 * log(theta));
}

static double
yarn(double w, int64_t pair, double theta, double rotary, const double *f)
{
    const double low = fmax(floor(yarn_pair(f[1], theta, rotary, f[3])), 0);
    const double high = fmin(ceil(yarn_pair(f[2], theta, rotary, f[3])), rotary - 1);
    const double width = high > low ? high - low : 0.001;
    const double ramp = fmin(fmax(((double)pair - low) / width, 0), 1);
    return w / f[0] * ramp + w * (1 - ramp);
}

double
angle_frequency(const Node *node, int64_t pair)
{
    const double theta = node_num(node, ATTR_theta, 10000);
    const double rotary = (double)node_int(node, ATTR_rotary, 2);
    const Attr *factors = attrs_find(&node->attrs, ATTR_factors);
    const double w = pow(theta, -2 * (double)pair / rotary);
    const char *word = node_word(node, ATTR_scaling, "none");
    if (strcmp(word, "linear") == 0)
        return w / factors->nums[0];
    if (strcmp(word, "llama3") == 0)
        return llama3(w, factors->nums);
    if (strcmp(word, "longrope") == 0)
        return w / factors->nums[pair];
    return strcmp(word, "yarn") == 0 ? yarn(w, pair, theta, rotary, factors->nums) : w;
}

double
angle_scale(const Node *node)
{
    const Attr *factors = attrs_find(&node->attrs, ATTR_factors);
    if (strcmp(node_word(node, ATTR_scaling, "none"), "yarn") != 0)
        return 1;
    const double said = factors->nums[4], factor = factors->nums[0];
    return said != 0 ? said : factor > 1 ? 0.1 * log(factor) + 1 : 1;
}

/* ---- shapes -----------------------------------------------------------------------------------
 */

bool
shape_angles(const Node *node, ShapeResult *r)
{
    const Type *t = operand(node, 0);
    const int64_t rotary = node_int(node, ATTR_rotary, 0);
    const char *scaling = node_word(node, ATTR_scaling, "none");
    const int64_t wanted = factors_of(node);
    const Attr *factors = attrs_find(&node->attrs, ATTR_factors);
    if (t->dtype != DTYPE_i32 || t->shape.rank != 1 || t->shape.dim[0].kind != DIM_TOKENS)
        return unlike(r, node, 0, "i32[T]", "these are positions");
    if (rotary < 2 || rotary % 2 != 0)
        return broken(r, 0, "rotary=%lld; channels are turned in pairs", (long long)rotary);
    if (!(node_num(node, ATTR_theta, 0) > 1))
        return broken(r, 0, "theta is above 1");
    if ((factors ? factors->count : 0) != wanted)
        return broken(r, 0, "scaling=%s takes %lld factors, not %d", scaling, (long long)wanted,
                      factors ? factors->count : 0);
    for (int i = 0; i < wanted; i++)
        if (!(factors->nums[i] > 0) &&
            !(i == 4 && factors->nums[i] == 0 && strcmp(scaling, "yarn") == 0))
            return broken(r, 0, "factor %d of scaling=%s is not above 0", i + 1, scaling);
    return result(r, type_rows(DTYPE_f32, DIM_TOKENS, rotary));
}

bool
shape_rope(const Node *node, ShapeResult *r)
{
    if (!want_tokens(r, node, 0, 0, "") || !want_tokens(r, node, 1, 0, ""))
        return false;
    const int64_t width = type_width(operand(node, 0)), rotary = type_width(operand(node, 1));
    const int64_t head_dim = node_int(node, ATTR_head_dim, 0);
    if (head_dim < 1 || width % head_dim != 0)
        return broken(r, 0, "%lld columns do not divide into heads of head_dim=%lld",
                      (long long)width, (long long)head_dim);
    if (rotary > head_dim || rotary % 2 != 0)
        return broken(r, 1, "%lld angles turn pairs of a head's %lld channels", (long long)rotary,
                      (long long)head_dim);
    return result(r, type_rows(DTYPE_f32, DIM_TOKENS, width));
}

/* ---- references -------------------------------------------------------------------------------
 */

void
ref_angles(RefCall *c)
{
    const double *p = ref_in(c, 0); /* [T] */
    const int64_t half = ref_width(&c->out[0]) / 2;
    const double scale = angle_scale(c->node);
    double *y = c->out[0].at; /* [T,rotary] */
    for (int64_t t = 0; t < c->tokens; t++, y += 2 * half)
        for (int64_t i = 0; i < half; i++) {
            const double angle = p[t] * angle_frequency(c->node, i);
            y[i] = scale * cos(angle);
            y[half + i] = scale * sin(angle);
        }
}

void
ref_rope(RefCall *c)
{
    const double *x = ref_in(c, 0), *angle = ref_in(c, 1); /* [T,H*P] [T,rotary] */
    const int64_t width = ref_width(&c->in[0]), half = ref_width(&c->in[1]) / 2;
    const int64_t head_dim = node_int(c->node, ATTR_head_dim, 1);
    double *y = c->out[0].at;
    memcpy(y, x, (size_t)(c->tokens * width) * sizeof *y);
    for (int64_t t = 0; t < c->tokens; t++, angle += 2 * half)
        for (int64_t h = 0; h < width; h += head_dim)
            for (int64_t i = 0; i < half; i++) {
                const int64_t a = t * width + h + i, b = a + half;
                y[a] = x[a] * angle[i] - x[b] * angle[half + i];
                y[b] = x[b] * angle[i] + x[a] * angle[half + i];
            }
}
