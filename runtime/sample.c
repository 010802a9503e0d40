/* runtime/sample.c -- drawing the next id. A word's weight is exp((logit - largest) / temperature),
 * so that the likeliest weighs 1. Vocabularies are large and few words are likely: top-k and top-p
 * take the likeliest from a heap, one by one, instead of sorting all. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/internal.h"

typedef struct {
    float logit;
    int32_t id;
} Word;

struct ssmc_sampler {
    ssmc_sampling how;
    int64_t vocab;
    uint64_t random;
    Word *words;       /* owns: [vocab] */
    double *weights;   /* owns: [vocab], of the words that the filters leave */
    bool *seen;        /* owns: [vocab] */
    int32_t *drawn;    /* owns: [vocab], how often each was */
    int32_t *seen_ids; /* owns: [vocab], of which nseen */
    int64_t nseen;
    uint64_t named; /* the newest call that named it */
};

/* ---- opening ------------------------------------------------------------------------------- */

static bool
is_within(double x, double low, double high)
{
    return x >= low && x <= high; /* false for NaN */
}

static ssmc_status
check(const ssmc_sampling *how, int64_t vocab)
{
    if (vocab < 1 || vocab > INT32_MAX)
        return rt_fail(SSMC_BAD_ARGUMENT, "a vocabulary of %" PRId64 " words", vocab);
    if (!is_within(how->temperature, 0, DBL_MAX))
        return rt_fail(SSMC_BAD_ARGUMENT, "temperature is %g; expected 0 or more",
                       how->temperature);
    if (how->top_k < 0)
        return rt_fail(SSMC_BAD_ARGUMENT, "top-k is %d; expected 0 or more", how->top_k);
    if (!is_within(how->top_p, 0, 1))
        return rt_fail(SSMC_BAD_ARGUMENT, "top-p is %g; expected 0 to 1", how->top_p);
    if (!is_within(how->min_p, 0, 1))
        return rt_fail(SSMC_BAD_ARGUMENT, "min-p is %g; expected 0 to 1", how->min_p);
    if (!is_within(how->repeat_penalty, 0, DBL_MAX))
        return rt_fail(SSMC_BAD_ARGUMENT, "the repetition penalty is %g; expected 0 or more",
                       how->repeat_penalty);
    if (!is_within(how->presence_penalty, -FLT_MAX, FLT_MAX) ||
        !is_within(how->frequency_penalty, -FLT_MAX, FLT_MAX))
        return rt_fail(SSMC_BAD_ARGUMENT,
                       "the penalties of presence and frequency are %g and %g; expected numbers",
                       how->presence_penalty, how->frequency_penalty);
    return SSMC_OK;
}

ssmc_status
ssmc_sampler_open(const ssmc_sampling *how, int64_t vocab, ssmc_sampler **out)
{
    if (!how || !out)
        return rt_fail_null(how ? "place for the sampler" : "way to draw");
    *out = NULL;
    const ssmc_status status = check(how, vocab);
    if (status != SSMC_OK)
        return status;
    ssmc_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return rt_fail_memory(sizeof *s, "a sampler");
    *s = (ssmc_sampler){.how = *how, .vocab = vocab, .random = how->seed};
    s->words = calloc((size_t)vocab, sizeof *s->words);
    s->weights = calloc((size_t)vocab, sizeof *s->weights);
    s->seen = calloc((size_t)vocab, sizeof *s->seen);
    s->drawn = calloc((size_t)vocab, sizeof *s->drawn);
    s->seen_ids = calloc((size_t)vocab, sizeof *s->seen_ids);
    if (s->words && s->weights && s->seen && s->drawn && s->seen_ids) {
        *out = s;
        return SSMC_OK;
    }
    ssmc_sampler_close(s);
    return rt_fail_memory((size_t)vocab * sizeof(Word), "a sampler");
}

void
ssmc_sampler_close(ssmc_sampler *s)
{
    if (!s)
        return;
    free(s->words);
    free(s->weights);
    free(s->seen);
    free(s->drawn);
    free(s->seen_ids);
    free(s);
}

/* ---- penalties ----------------------------------------------------------------------------- */

void
ssmc_sampler_see(ssmc_sampler *s, int32_t id)
{
    if (!s || id < 0 || id >= s->vocab || s->seen[id])
        return;
    s->seen[id] = true;
    s->seen_ids[s->nseen++] = id;
}

static void
count_drawn(ssmc_sampler *s, int32_t id)
{
    ssmc_sampler_see(s, id);
    s->drawn[id] += s->drawn[id] < INT32_MAX;
}

static bool
repeats_cost(const ssmc_sampler *s)
{
    return s->how.repeat_penalty != 0 && s->how.repeat_penalty != 1;
}

static bool
penalises(const ssmc_sampler *s)
{
    return repeats_cost(s) || s->how.presence_penalty != 0 || s->how.frequency_penalty != 0;
}

/* Whether a word may become likelier by it. */
static bool
penalty_lifts(const ssmc_sampler *s)
{
    return (repeats_cost(s) && s->how.repeat_penalty < 1) || s->how.presence_penalty < 0 ||
           s->how.frequency_penalty < 0;
}

/* Of a word that was seen. Repetition: Keskar et al. 2019, CTRL, section 4.1, with the sign taken
 * into account. Minus infinity is what a word has that must not be drawn, and no other gets there.
 */
static float
penalised(const ssmc_sampler *s, int32_t id, float logit)
{
    const double repeat = repeats_cost(s) ? s->how.repeat_penalty : 1;
    double moved = logit > 0 ? logit / repeat : logit * repeat;
    if (s->drawn[id] > 0)
        moved -= s->how.presence_penalty + s->how.frequency_penalty * s->drawn[id];
    return logit >= -FLT_MAX && moved < -FLT_MAX ? -FLT_MAX : (float)moved;
}

static void
penalise(const ssmc_sampler *s, float *logits)
{
    for (int64_t i = 0; i < s->nseen && penalises(s); i++) {
        const int32_t id = s->seen_ids[i];
        logits[id] = penalised(s, id, logits[id]);
    }
}

/* ---- the likeliest ------------------------------------------------------------------------- */

/* The first of the greatest; NaN is no number to be greatest. 0 when all are NaN. The greatest is
 * found in LANES parts side by side, which compilers make vectors of. */
int32_t
rt_greedy(const float *logits, int64_t vocab)
{
    enum { LANES = 16 };
    float most[LANES], greatest = -INFINITY;
    int64_t i = 0;
    for (int l = 0; l < LANES; l++)
        most[l] = -INFINITY;
    for (; i + LANES <= vocab; i += LANES)
        for (int l = 0; l < LANES; l++)
            most[l] = logits[i + l] > most[l] ? logits[i + l] : most[l];
    for (; i < vocab; i++)
        greatest = logits[i] > greatest ? logits[i] : greatest;
    for (int l = 0; l < LANES; l++)
        greatest = most[l] > greatest ? most[l] : greatest;
    for (i = 0; i < vocab; i++)
        if (logits[i] == greatest)
            return (int32_t)i;
    return 0;
}

/* Likelier, or equal and of the lower id: a total order. */
static bool
is_before(const Word *a, const Word *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void
sift_down(Word *heap, int64_t count, int64_t at)
{
    const Word word = heap[at];
    for (int64_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (!is_before(&heap[child], &word))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = word;
}

/* Words of which the `taken` likeliest stand at the end, the likeliest last, and the others as a
 * heap. */
typedef struct {
    Word *words;
    int64_t count, taken;
} Ranking;

static Ranking
rank(Word *words, int64_t count)
{
    for (int64_t i = count / 2; i-- > 0;)
        sift_down(words, count, i);
    return (Ranking){words, count, 0};
}

/* The i-th likeliest. */
static const Word *
ranked(Ranking *r, int64_t i)
{
    while (r->taken <= i) {
        const int64_t last = r->count - 1 - r->taken++;
        const Word top = r->words[0];
        r->words[0] = r->words[last];
        if (last > 0)
            sift_down(r->words, last, 0);
        r->words[last] = top;
    }
    return &r->words[r->count - 1 - i];
}

/* ---- the filters --------------------------------------------------------------------------- */

/* Words that may be drawn, and the largest logit of all. */
typedef struct {
    Word *words;
    int64_t count;
    float largest;
    double temperature;
} Choice;

/* exp(x) of x <= 0 within 2e-7 of it, and 0 below -87: Cody and Waite's reduction and a polynomial
 * (Cephes' expf), without a call or a branch, so that loops over a vocabulary become vectors. Draws
 * are the same on every machine: no sum here is contracted (-std=c11). */
static inline float
exp_of(float x)
{
    const float least = -87, log2_e = 1.44269504f, to_integer = 12582912; /* 1.5 * 2^23 */
    const float at = x > least ? x : least, n = (at * log2_e + to_integer) - to_integer;
    const float r = (at - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const union {
        int32_t bits;
        float value;
    } power = {.bits = ((int32_t)n + 127) << 23};
    return x < least ? 0 : (p * (r * r) + r + 1) * power.value;
}

/* The exponent of a word's weight; temperatures below 1e-300 draw as that one does. */
static inline float
exponent_of(const Choice *c, float logit)
{
    const double inverse = 1 / (c->temperature > 1e-300 ? c->temperature : 1e-300);
    return (float)(((double)logit - c->largest) * inverse);
}

static double
weight_of(const Choice *c, const Word *word)
{
    return exp_of(exponent_of(c, word->logit));
}

/* Words that have a probability, in the order of ids. */
static Choice
gather(const ssmc_sampler *s, const float *logits)
{
    Choice c = {s->words, 0, -FLT_MAX, s->how.temperature};
    for (int64_t i = 0; i < s->vocab; i++) {
        const float logit = logits[i] > FLT_MAX ? FLT_MAX : logits[i];
        if (!(logit >= -FLT_MAX)) /* NaN or minus infinity */
            continue;
        c.largest = logit > c.largest ? logit : c.largest;
        c.words[c.count++] = (Word){logit, (int32_t)i};
    }
    return c;
}

/* How many of the likeliest `most` words together reach top_p of `total`: at least one. */
static int64_t
nucleus(const Choice *c, Ranking *r, int64_t most, double top_p, double total)
{
    double reached = 0;
    int64_t kept = 0;
    while (kept < most && (kept == 0 || reached < top_p * total))
        reached += weight_of(c, ranked(r, kept++));
    return kept;
}

/* Only the nucleus needs an order, and it is a small part of a vocabulary: the words are counted by
 * their weight in CLASSES, each a factor of e to the 1/FINE, and those below the class with which
 * top_p is reached are dropped before any is ranked. One class more is kept, as sums in another
 * order are rounded otherwise. Returns the weight of all. exponents, weights: [count], scratch. */
static double
drop_unlikely(Choice *c, double top_p, float *exponents, float *weights)
{
    enum { CLASSES = 256, FINE = 8 };
    double mass[CLASSES] = {0}, total = 0, reached = 0;
    for (int64_t i = 0; i < c->count; i++)
        exponents[i] = exponent_of(c, c->words[i].logit);
    for (int64_t i = 0; i < c->count; i++)
        weights[i] = exp_of(exponents[i]);
    for (int64_t i = 0; i < c->count; i++) {
        const float below = exponents[i] * -FINE;
        mass[below < CLASSES - 1 ? (int)below : CLASSES - 1] += (double)weights[i];
    }
    for (int i = 0; i < CLASSES; i++)
        total += mass[i];
    int last = 0;
    while (last < CLASSES - 1 && (reached += mass[last]) < top_p * total)
        last++;
    if (++last >= CLASSES - 1)
        return total;
    int64_t kept = 0;
    for (int64_t i = 0; i < c->count; i++)
        if (exponents[i] * -FINE < (float)(last + 1))
            c->words[kept++] = c->words[i];
    c->count = kept;
    return total;
}

/* Moves the `kept` words at the end to the front, the likeliest first. */
static void
keep_ranked(Choice *c, int64_t kept)
{
    Word *tail = c->words + c->count - kept;
    for (int64_t i = 0; i < kept / 2; i++) {
        const Word word = tail[i];
        tail[i] = tail[kept - 1 - i];
        tail[kept - 1 - i] = word;
    }
    for (int64_t i = 0; i < kept; i++)
        c->words[i] = tail[i];
    c->count = kept;
}

static void
keep_likeliest(const ssmc_sampler *s, Choice *c)
{
    const ssmc_sampling *how = &s->how;
    const bool top_k = how->top_k > 0 && how->top_k < c->count;
    const bool top_p = how->top_p > 0 && how->top_p < 1;
    if (!top_k && !top_p)
        return;
    float *scratch = (float *)s->weights; /* [2,vocab] */
    double total = top_k ? 0 : drop_unlikely(c, how->top_p, scratch, scratch + s->vocab);
    Ranking r = rank(c->words, c->count);
    int64_t kept = top_k ? how->top_k : c->count;
    for (int64_t i = 0; i < kept && top_k && top_p; i++)
        total += weight_of(c, ranked(&r, i));
    if (top_p)
        kept = nucleus(c, &r, kept, how->top_p, total);
    ranked(&r, kept - 1);
    keep_ranked(c, kept);
}

/* weight >= min_p, by logits. */
static void
keep_probable(Choice *c, double min_p)
{
    if (min_p == 0)
        return;
    const double least = c->largest + c->temperature * log(min_p);
    int64_t kept = 0;
    for (int64_t i = 0; i < c->count; i++)
        if (c->words[i].logit >= least)
            c->words[kept++] = c->words[i];
    c->count = kept;
}

/* ---- drawing ------------------------------------------------------------------------------- */

/* Uniform in [0, 1): splitmix64. */
static double
uniform(ssmc_sampler *s)
{
    uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static int32_t
draw(ssmc_sampler *s, const Choice *c)
{
    double total = 0;
    for (int64_t i = 0; i < c->count; i++)
        total += s->weights[i] = weight_of(c, &c->words[i]);
    double left = uniform(s) * total;
    int32_t id = c->words[0].id;
    for (int64_t i = 0; i < c->count && left >= 0; i++) {
        left -= s->weights[i];
        if (s->weights[i] > 0)
            id = c->words[i].id;
    }
    return id;
}

static int32_t
choose(ssmc_sampler *s, const float *logits)
{
    if (s->how.temperature == 0)
        return rt_greedy(logits, s->vocab);
    Choice c = gather(s, logits);
    if (c.count == 0)
        return rt_greedy(logits, s->vocab);
    keep_likeliest(s, &c);
    keep_probable(&c, s->how.min_p);
    return draw(s, &c);
}

/* ---- from candidates ----------------------------------------------------------------------- */

int64_t
rt_sampler_vocab(const ssmc_sampler *s)
{
    return s->vocab;
}

bool
rt_sampler_named(ssmc_sampler *s, uint64_t call)
{
    const bool before = s->named == call;
    s->named = call;
    return !before;
}

/* Weights of all words add up to what top-p is a part of, and what a draw from all is; and a
 * penalty may lift words that no list has. */
int64_t
rt_sampler_wants(const ssmc_sampler *s)
{
    const ssmc_sampling *how = &s->how;
    const bool top_p = how->top_p > 0 && how->top_p < 1;
    if (penalty_lifts(s))
        return INT64_MAX;
    if (how->temperature == 0)
        return penalises(s) ? 2 : 1;
    if (how->top_k > 0)
        return (int64_t)how->top_k + 1;
    return how->min_p > 0 && !top_p ? 2 : INT64_MAX;
}

/* The words of a list of candidates that stay before all words that it does not have, which a
 * penalty may move back, but not forward. False: a logit is no number that weights are made of. */
static bool
certain(ssmc_sampler *s, const float *list, int64_t k, Choice *c)
{
    const Word last = {list[k - 1], (int32_t)list[2 * k - 1]};
    *c = (Choice){s->words, 0, -FLT_MAX, s->how.temperature};
    for (int64_t i = 0; i < k; i++) {
        Word word = {list[i], (int32_t)list[k + i]};
        if (!is_within(word.logit, -FLT_MAX, FLT_MAX))
            return false;
        if (penalises(s) && s->seen[word.id])
            word.logit = penalised(s, word.id, word.logit);
        if (!is_before(&word, &last) && !(word.id == last.id && word.logit == last.logit))
            continue;
        c->largest = word.logit > c->largest ? word.logit : c->largest;
        c->words[c->count++] = word;
    }
    return c->count > 0;
}

static int
by_id(const void *a, const void *b)
{
    const Word *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Leaves of certain words those that choose() leaves of all, in the same order. False: there may be
 * others. */
static bool
keep_of_certain(const ssmc_sampler *s, Choice *c, float last)
{
    const ssmc_sampling *how = &s->how;
    if (how->top_k > 0) {
        if (how->top_k >= c->count)
            return false;
        keep_likeliest(s, c);
    } else {
        if (c->largest + c->temperature * log(how->min_p) <= last)
            return false;
        qsort(c->words, (size_t)c->count, sizeof *c->words, by_id);
    }
    keep_probable(c, how->min_p);
    return true;
}

bool
rt_sample_candidates(ssmc_sampler *s, const float *list, int64_t k, int32_t *id)
{
    Choice c;
    if (s->how.temperature == 0 && !penalises(s)) {
        *id = isnan(list[0]) ? 0 : (int32_t)list[k]; /* NaNs come after all others */
    } else if (!certain(s, list, k, &c)) {
        return false;
    } else if (s->how.temperature == 0) {
        const Word *best = &c.words[0];
        for (int64_t i = 1; i < c.count; i++)
            best = is_before(&c.words[i], best) ? &c.words[i] : best;
        *id = best->id;
    } else {
        if (!keep_of_certain(s, &c, list[k - 1]))
            return false;
        *id = draw(s, &c);
    }
    count_drawn(s, *id);
    return true;
}

/* ---- from logits --------------------------------------------------------------------------- */

int32_t
ssmc_sample(ssmc_sampler *s, float *logits)
{
    if (!s || !logits) {
        rt_fail_null(s ? "logits" : "sampler");
        return -1;
    }
    penalise(s, logits);
    const int32_t id = choose(s, logits);
    count_drawn(s, id);
    return id;
}
