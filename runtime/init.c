/* runtime/init.c -- weights made by rules from a seed. Every element comes from (seed, weight's
 * name, index) alone, so that neither the number of threads nor the other weights change it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/weights.h"

/* ---- random numbers ------------------------------------------------------------------------ */

/* splitmix64 (Steele, Lea, Flood 2014): its i-th output is a function of i. */
static uint64_t
mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t
random_at(uint64_t key, size_t i)
{
    return mix(key + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

/* FNV-1a. */
static uint64_t
key_of(uint64_t seed, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return mix(h ^ mix(seed));
}

/* Uniform in [0, 1), from the upper 24 or the lower 24 bits: independent. */
static float
upper(uint64_t bits)
{
    return (float)(bits >> 40) * 0x1p-24f;
}

static float
lower(uint64_t bits)
{
    return (float)(bits & 0xffffff) * 0x1p-24f;
}

/* ---- rules --------------------------------------------------------------------------------- */

/* Fills elements [from, to) of data. */
typedef void Rule(const RtMade *made, float *data, size_t from, size_t to);

struct RtMade {
    Rule *fill;
    uint64_t key;
    double fan_in;        /* the last dimension: what a row, or one of a stack's, adds up */
    double last;          /* the last dimension, of a vector too */
    double peers;         /* weights that have the same rule */
    double layer, layers; /* the weight's layer, of how many; 0: none is said */
};

static void
fill(float *data, size_t from, size_t to, float value)
{
    for (size_t i = from; i < to; i++)
        data[i] = value;
}

static void
uniform(const RtMade *made, float *data, size_t from, size_t to, double bound)
{
    const float scale = (float)(2 * bound), shift = (float)-bound;
    for (size_t i = from; i < to; i++)
        data[i] = upper(random_at(made->key, i)) * scale + shift;
}

static void
init_ones(const RtMade *made, float *data, size_t from, size_t to)
{
    (void)made;
    fill(data, from, to, 1);
}

static void
init_zeros(const RtMade *made, float *data, size_t from, size_t to)
{
    (void)made;
    fill(data, from, to, 0);
}

static void
init_a_log(const RtMade *made, float *data, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        data[i] = logf(1 + 15 * upper(random_at(made->key, i)));
}

/* [D,N] */
static void
init_a_log_states(const RtMade *made, float *data, size_t from, size_t to)
{
    const size_t states = (size_t)made->fan_in;
    for (size_t i = from; i < to; i++)
        data[i] = logf((float)(i % states + 1));
}

static void
init_slopes(const RtMade *made, float *data, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        data[i] = (float)exp2(-8 * (double)(i + 1) / made->last);
}

static void
init_fading_slopes(const RtMade *made, float *data, size_t from, size_t to)
{
    const double fading = 1 - made->layer / (made->layers - 1 + 1e-5) + 1e-5;
    for (size_t i = from; i < to; i++)
        data[i] = (float)(exp2(-8 * (double)(i + 1) / made->last) * fading);
}

static void
init_retention(const RtMade *made, float *data, size_t from, size_t to)
{
    (void)made;
    for (size_t i = from; i < to; i++)
        data[i] = (float)-log1p(-exp2(-5 - (double)i));
}

/* softplus(dt + log(-expm1(-dt))) = dt + log(1 - exp(-dt)) inverted: log(exp(dt) - 1). */
static void
init_dt_bias(const RtMade *made, float *data, size_t from, size_t to)
{
    const double low = log(1e-3), high = log(1e-1), floor = 1e-4;
    for (size_t i = from; i < to; i++) {
        const double dt = fmax(exp(low + (high - low) * upper(random_at(made->key, i))), floor);
        data[i] = (float)(dt + log(-expm1(-dt)));
    }
}

static void
init_uniform_fan_in(const RtMade *made, float *data, size_t from, size_t to)
{
    uniform(made, data, from, to, 1 / sqrt(made->fan_in));
}

/* Each layer adds once to the residual stream, whose variance would grow with their number (GPT-2).
 */
static void
init_out_proj(const RtMade *made, float *data, size_t from, size_t to)
{
    uniform(made, data, from, to, 1 / sqrt(made->fan_in * made->peers));
}

/* Box and Muller 1958. */
static void
init_normal_embed(const RtMade *made, float *data, size_t from, size_t to)
{
    const float turn = 6.2831853f;
    for (size_t i = from; i < to; i++) {
        const uint64_t bits = random_at(made->key, i);
        const float radius = sqrtf(-2 * logf(1 - upper(bits)));
        data[i] = 0.02f * radius * cosf(turn * lower(bits));
    }
}

static const struct {
    const char *name;
    Rule *fill;
} rules[] = {
#define INIT(rule, meaning) {#rule, init_##rule},
#include "runtime/init.def"
#undef INIT
};

static Rule *
rule_find(const char *name)
{
    for (size_t i = 0; i < RT_COUNT(rules); i++)
        if (strcmp(rules[i].name, name) == 0)
            return rules[i].fill;
    return NULL;
}

/* ---- weights ------------------------------------------------------------------------------- */

static const char *
rule_name(const AbiWeight *w)
{
    return w->init ? w->init : "";
}

static ssmc_status
check_rules(const AbiWeight *weights, int count)
{
    int faults = 0;
    for (int i = 0; i < count && faults < 10; i++) {
        if (rule_find(rule_name(&weights[i])))
            continue;
        (faults++ ? rt_fail_also : rt_fail)(
            SSMC_BAD_ARGUMENT,
            "weight '%s' cannot be made at random: it has the rule '%s'; known are%s",
            rt_quote(weights[i].tensor).text, rt_quote(rule_name(&weights[i])).text,
#define INIT(rule, meaning) " " #rule
#include "runtime/init.def"
#undef INIT
        );
    }
    return faults ? SSMC_BAD_ARGUMENT : SSMC_OK;
}

static ssmc_status
describe_one(RtTensor *t, const AbiWeight *weight, const char *name)
{
    *t = (RtTensor){.name = name, .dtype = "F32", .rank = weight->rank};
    memcpy(t->dim, weight->dim, sizeof weight->dim);
    if (rt_tensor_bytes(32, t->dim, t->rank, &t->bytes))
        return SSMC_OK;
    return rt_fail(SSMC_BAD_ARGUMENT, "weight '%s' is too large: %s", rt_quote(name).text,
                   rt_dims(t->dim, t->rank).text);
}

static RtMade
rule_of(const AbiWeight *w, uint64_t seed)
{
    RtMade made = {.fill = rule_find(rule_name(w)), .fan_in = 1, .last = 1};
    made.key = key_of(seed, w->tensor);
    if (w->rank > 0)
        made.last = (double)w->dim[w->rank - 1];
    if (w->rank > 1)
        made.fan_in = made.last;
    return made;
}

/* Shapes, names and rules of all. */
static ssmc_status
describe_all(ssmc_weights *w, const AbiWeight *weights, int count, uint64_t seed)
{
    size_t room = 1;
    for (int i = 0; i < count; i++)
        room += strlen(weights[i].tensor) + 1;
    char *name = w->names = malloc(room);
    w->made = calloc((size_t)count + 1, sizeof *w->made);
    if (!name || !w->made)
        return rt_fail_memory(room, "names of weights");
    for (int i = 0; i < count; i++) {
        strcpy(name, weights[i].tensor);
        const ssmc_status status = describe_one(&w->tensors[w->count++], &weights[i], name);
        if (status != SSMC_OK)
            return status;
        w->made[i] = rule_of(&weights[i], seed);
        name += strlen(name) + 1;
    }
    for (size_t r = 0; r < RT_COUNT(rules); r++) {
        double peers = 0;
        for (int i = 0; i < count; i++)
            peers += w->made[i].fill == rules[r].fill;
        for (int i = 0; i < count; i++)
            if (w->made[i].fill == rules[r].fill)
                w->made[i].peers = peers;
    }
    return rt_weights_index(w, "the model");
}

ssmc_status
rt_weights_describe(const AbiWeight *weights, int count, uint64_t seed, ssmc_weights **out)
{
    ssmc_weights *w = NULL;
    *out = NULL;
    ssmc_status status = check_rules(weights, count);
    if (status == SSMC_OK)
        status = rt_weights_new(count, &w);
    if (status == SSMC_OK)
        status = describe_all(w, weights, count, seed);
    if (status == SSMC_OK)
        *out = w;
    else
        rt_weights_close(w);
    return status;
}

uint64_t
rt_made_key(const ssmc_weights *w, const RtTensor *t)
{
    return w->made[t - w->tensors].key | 1;
}

void
rt_made_fill(const ssmc_weights *w, const RtTensor *t, float *data, int thread, int threads)
{
    const RtMade *made = &w->made[t - w->tensors];
    const size_t count = t->bytes / sizeof *data;
    const size_t share = (count + (size_t)threads - 1) / (size_t)threads;
    const size_t from = share * (size_t)thread, to = from + share;
    made->fill(made, data, from, to < count ? to : count);
}

/* ---- a weight that a checkpoint lacks ------------------------------------------------------- */

ssmc_status
rt_weights_make(ssmc_weights *w, const char *name, const int64_t *dim, int rank)
{
    char rule[64] = "";
    unsigned layer = 0, layers = 0;
    if (rt_weights_find(w, name))
        return SSMC_OK;
    RtMade made = {.fan_in = 1, .last = rank > 0 ? (double)dim[rank - 1] : 1, .peers = 1};
    const bool read = sscanf(name, RT_MADE "%63s %u of %u", rule, &layer, &layers) == 3;
    made.fill = read && layer < layers ? rule_find(rule) : NULL;
    made.key = key_of(0, name);
    made.fan_in = rank > 1 ? made.last : 1;
    made.layer = layer;
    made.layers = layers;
    RtTensor t = {.name = name, .dtype = rt_dtype_name("F32"), .rank = rank};
    if (!made.fill || rank < 1 || rank > RT_MAX_RANK)
        return rt_fail(SSMC_BAD_ARGUMENT, "weight '%s' is made by no rule", rt_quote(name).text);
    memcpy(t.dim, dim, sizeof *dim * (size_t)rank);
    if (!rt_tensor_bytes(32, t.dim, t.rank, &t.bytes))
        return rt_fail(SSMC_BAD_ARGUMENT, "weight '%s' is too large: %s", rt_quote(name).text,
                       rt_dims(dim, rank).text);
    float *data = rt_joined_room(w, &t);
    if (!data)
        return rt_fail_memory(t.bytes, "a weight");
    made.fill(&made, data, 0, t.bytes / sizeof *data);
    return SSMC_OK;
}

/* ---- all of them in memory ----------------------------------------------------------------- */

typedef struct {
    const ssmc_weights *w;
    const RtTensor *tensor;
} Making;

/* This thread's share of a weight. */
static void
make_share(void *user, int thread, int threads)
{
    const Making *m = user;
    rt_made_fill(m->w, m->tensor, (float *)m->tensor->data, thread, threads);
}

/* Gives every tensor its data, each on a line. */
static ssmc_status
place_all(ssmc_weights *w)
{
    size_t total = 0;
    for (int i = 0; i < w->count; i++) {
        size_t line;
        if (!rt_round_up(w->tensors[i].bytes, RT_LINE, &line) || !rt_add(total, line, &total))
            return rt_fail_memory(SIZE_MAX, "weights");
    }
    w->pages = rt_pages_new(total);
    if (!w->pages)
        return rt_fail_memory(total, "weights");
    w->page_bytes = total;
    char *at = w->pages;
    for (int i = 0; i < w->count; i++) {
        w->tensors[i].data = at;
        at += (w->tensors[i].bytes + RT_LINE - 1) / RT_LINE * RT_LINE;
    }
    return SSMC_OK;
}

static ssmc_status
make_all(ssmc_weights *w, int threads, ssmc_progress *progress, void *user)
{
    RtPool *pool = NULL;
    ssmc_status status = place_all(w);
    if (status == SSMC_OK)
        status = rt_pool_open(threads, &pool);
    for (int i = 0; i < w->count && status == SSMC_OK; i++) {
        rt_pool_run(pool, make_share, &(Making){w, &w->tensors[i]});
        if (progress)
            progress(user, i + 1, w->count);
    }
    rt_pool_close(pool);
    return status;
}

ssmc_status
rt_weights_init(const AbiWeight *weights, int count, uint64_t seed, int threads,
                ssmc_progress *progress, void *user, ssmc_weights **out)
{
    ssmc_status status = rt_weights_describe(weights, count, seed, out);
    if (status != SSMC_OK)
        return status;
    status = make_all(*out, threads, progress, user);
    if (status != SSMC_OK) {
        rt_weights_close(*out);
        *out = NULL;
    }
    return status;
}
