/* runtime/init.c -- weights made by rules from a seed. Every element comes from (seed, weight's
 * name, index) alone, so that neither the number of threads nor the other weights change it. */
#include <math.h>
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

typedef struct {
    float *data;
    size_t count;
    uint64_t key;
    double fan_in; /* product of the dimensions after the first */
    double peers;  /* weights that have the same rule */
} Job;
/* Fills elements [from, to). */
typedef void Rule(const Job *job, size_t from, size_t to);

static void
fill(const Job *job, size_t from, size_t to, float value)
{
    for (size_t i = from; i < to; i++)
        job->data[i] = value;
}

static void
uniform(const Job *job, size_t from, size_t to, double bound)
{
    const float scale = (float)(2 * bound), shift = (float)-bound;
    for (size_t i = from; i < to; i++)
        job->data[i] = upper(random_at(job->key, i)) * scale + shift;
}

static void
init_ones(const Job *job, size_t from, size_t to)
{
    fill(job, from, to, 1);
}

static void
init_zeros(const Job *job, size_t from, size_t to)
{
    fill(job, from, to, 0);
}

static void
init_a_log(const Job *job, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        job->data[i] = logf(1 + 15 * upper(random_at(job->key, i)));
}

/* softplus(dt + log(-expm1(-dt))) = dt + log(1 - exp(-dt)) inverted: log(exp(dt) - 1). */
static void
init_dt_bias(const Job *job, size_t from, size_t to)
{
    const double low = log(1e-3), high = log(1e-1), floor = 1e-4;
    for (size_t i = from; i < to; i++) {
        const double dt = fmax(exp(low + (high - low) * upper(random_at(job->key, i))), floor);
        job->data[i] = (float)(dt + log(-expm1(-dt)));
    }
}

static void
init_uniform_fan_in(const Job *job, size_t from, size_t to)
{
    uniform(job, from, to, 1 / sqrt(job->fan_in));
}

/* Each layer adds once to the residual stream, whose variance would grow with their number (GPT-2).
 */
static void
init_out_proj(const Job *job, size_t from, size_t to)
{
    uniform(job, from, to, 1 / sqrt(job->fan_in * job->peers));
}

/* Box and Muller 1958. */
static void
init_normal_embed(const Job *job, size_t from, size_t to)
{
    const float turn = 6.2831853f;
    for (size_t i = from; i < to; i++) {
        const uint64_t bits = random_at(job->key, i);
        const float radius = sqrtf(-2 * logf(1 - upper(bits)));
        job->data[i] = 0.02f * radius * cosf(turn * lower(bits));
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

/* Shapes and names of all, data still NULL; *total: bytes that the data take, each on a line. */
static ssmc_status
describe(ssmc_weights *w, const AbiWeight *weights, int count, size_t *total)
{
    size_t room = 1;
    *total = 0;
    for (int i = 0; i < count; i++)
        room += strlen(weights[i].tensor) + 1;
    char *name = w->names = malloc(room);
    if (!name)
        return rt_fail_memory(room, "names of weights");
    for (int i = 0; i < count; i++) {
        RtTensor *t = &w->tensors[w->count++];
        *t = (RtTensor){
            .name = strcpy(name, weights[i].tensor), .dtype = "F32", .rank = weights[i].rank};
        name += strlen(name) + 1;
        memcpy(t->dim, weights[i].dim, sizeof weights[i].dim);
        size_t line;
        if (!rt_tensor_bytes(32, t->dim, t->rank, &t->bytes) ||
            !rt_round_up(t->bytes, RT_LINE, &line) || !rt_add(*total, line, total))
            return rt_fail(SSMC_BAD_ARGUMENT, "weight '%s' is too large: %s",
                           rt_quote(t->name).text, rt_dims(t->dim, t->rank).text);
    }
    return rt_weights_index(w, "the model");
}

typedef struct {
    const ssmc_weights *w;
    const AbiWeight *weights;
    uint64_t seed;
    ssmc_progress *progress; /* may be NULL */
    void *user;
} Making;

static double
peers_of(const Making *m, const char *rule)
{
    int peers = 0;
    for (int i = 0; i < m->w->count; i++)
        peers += strcmp(rule_name(&m->weights[i]), rule) == 0;
    return peers;
}

/* This thread's share of every weight. */
static void
make_share(void *user, int thread, int threads)
{
    const Making *m = user;
    for (int i = 0; i < m->w->count; i++) {
        const RtTensor *t = &m->w->tensors[i];
        Job job = {.data = (float *)t->data, .count = t->bytes / 4, .fan_in = 1};
        job.key = key_of(m->seed, t->name);
        job.peers = peers_of(m, rule_name(&m->weights[i]));
        for (int d = 1; d < t->rank; d++)
            job.fan_in *= (double)t->dim[d];
        const size_t share = (job.count + (size_t)threads - 1) / (size_t)threads;
        const size_t from = share * (size_t)thread, to = from + share;
        rule_find(rule_name(&m->weights[i]))(&job, from, to < job.count ? to : job.count);
        if (thread == 0 && m->progress) /* thread 0 is the caller, and others are about as far */
            m->progress(m->user, i + 1, m->w->count);
    }
}

static ssmc_status
make_all(Making *making, ssmc_weights *w, int threads, size_t total)
{
    RtPool *pool = NULL;
    w->pages = rt_pages_new(total);
    if (!w->pages)
        return rt_fail_memory(total, "weights");
    w->page_bytes = total;
    char *at = w->pages;
    for (int i = 0; i < w->count; i++) {
        w->tensors[i].data = at;
        at += (w->tensors[i].bytes + RT_LINE - 1) / RT_LINE * RT_LINE;
    }
    const ssmc_status status = rt_pool_open(threads, &pool);
    if (status != SSMC_OK)
        return status;
    rt_pool_run(pool, make_share, making);
    rt_pool_close(pool);
    return SSMC_OK;
}

ssmc_status
rt_weights_init(const AbiWeight *weights, int count, uint64_t seed, int threads,
                ssmc_progress *progress, void *user, ssmc_weights **out)
{
    ssmc_weights *w = NULL;
    size_t total = 0;
    *out = NULL;
    ssmc_status status = check_rules(weights, count);
    if (status == SSMC_OK)
        status = rt_weights_new(count, &w);
    if (status == SSMC_OK)
        status = describe(w, weights, count, &total);
    if (status == SSMC_OK)
        status = make_all(&(Making){w, weights, seed, progress, user}, w, threads, total);
    if (status == SSMC_OK)
        *out = w;
    else
        rt_weights_close(w);
    return status;
}
