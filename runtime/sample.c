/* runtime/sample.c -- drawing the next id. A word's weight is exp((logit - largest) / temperature),
 * so that the likeliest weighs 1. Vocabularies are large and few words are likely: top-k and top-p
 * take the likeliest from a heap, one by one, instead of sorting all. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "runtime/internal.h"

typedef struct {
    double weight;
    float logit;
    int32_t id;
} Word;

struct ssmc_sampler {
    ssmc_sampling how;
    int64_t vocab;
    uint64_t random;
    Word *words;       /* owns: [vocab] */
    bool *seen;        /* owns: [vocab] */
    int32_t *seen_ids; /* owns: [vocab], of which nseen */
    int64_t nseen;
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
    return SSMC_OK;
}

ssmc_status
ssmc_sampler_open(const ssmc_sampling *how, int64_t vocab, ssmc_sampler **out)
{
    *out = NULL;
    const ssmc_status status = check(how, vocab);
    if (status != SSMC_OK)
        return status;
    ssmc_sampler *s = calloc(1, sizeof *s);
    if (!s)
        return rt_fail_memory(sizeof *s, "a sampler");
    *s = (ssmc_sampler){.how = *how, .vocab = vocab, .random = how->seed};
    s->words = calloc((size_t)vocab, sizeof *s->words);
    s->seen = calloc((size_t)vocab, sizeof *s->seen);
    s->seen_ids = calloc((size_t)vocab, sizeof *s->seen_ids);
    if (s->words && s->seen && s->seen_ids) {
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
    free(s->seen);
    free(s->seen_ids);
    free(s);
}

/* ---- repetition ---------------------------------------------------------------------------- */

void
ssmc_sampler_see(ssmc_sampler *s, int32_t id)
{
    if (id < 0 || id >= s->vocab || s->seen[id])
        return;
    s->seen[id] = true;
    s->seen_ids[s->nseen++] = id;
}

/* Keskar et al. 2019, CTRL, section 4.1, with the sign taken into account. */
static void
penalise(const ssmc_sampler *s, float *logits)
{
    const double penalty = s->how.repeat_penalty;
    if (penalty == 0 || penalty == 1)
        return;
    for (int64_t i = 0; i < s->nseen; i++) {
        float *logit = &logits[s->seen_ids[i]];
        *logit = (float)(*logit > 0 ? *logit / penalty : *logit * penalty);
    }
}

/* ---- the likeliest ------------------------------------------------------------------------- */

/* The first of the greatest; NaN is no number to be greatest. 0 when all are NaN. */
static int32_t
greedy(const float *logits, int64_t vocab)
{
    int64_t best = -1;
    for (int64_t i = 0; i < vocab; i++)
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = i;
    return best < 0 ? 0 : (int32_t)best;
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

/* The i-th likeliest; asked for in order. */
static const Word *
ranked(Ranking *r, int64_t i)
{
    if (i == r->taken) {
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

/* Words that have a probability, in the order of ids, with their weights. */
static int64_t
gather(const ssmc_sampler *s, const float *logits)
{
    int64_t count = 0;
    float most = -FLT_MAX;
    for (int64_t i = 0; i < s->vocab; i++) {
        const float logit = fminf(logits[i], FLT_MAX);
        if (isnan(logits[i]) || logit < -FLT_MAX)
            continue;
        most = fmaxf(most, logit);
        s->words[count++] = (Word){.logit = logit, .id = (int32_t)i};
    }
    for (int64_t i = 0; i < count; i++)
        s->words[i].weight = exp(((double)s->words[i].logit - most) / s->how.temperature);
    return count;
}

static double
sum(const Word *words, int64_t count)
{
    double total = 0;
    for (int64_t i = 0; i < count; i++)
        total += words[i].weight;
    return total;
}

/* How many of the likeliest `most` words together reach top_p of their weight: at least one. */
static int64_t
nucleus(Ranking *r, int64_t most, double top_p)
{
    double total = 0, reached = 0;
    if (most == r->count)
        total = sum(r->words, r->count);
    else
        for (int64_t i = 0; i < most; i++)
            total += ranked(r, i)->weight;
    int64_t kept = 0;
    while (kept < most && (kept == 0 || reached < top_p * total))
        reached += ranked(r, kept++)->weight;
    return kept;
}

/* top-k, top-p and min-p. Moves the words that are left to the front; how many. */
static int64_t
keep_likeliest(const ssmc_sampler *s, int64_t count)
{
    const int64_t most = s->how.top_k > 0 && s->how.top_k < count ? s->how.top_k : count;
    const bool nucleus_on = s->how.top_p > 0 && s->how.top_p < 1;
    Ranking r = rank(s->words, count);
    int64_t kept = nucleus_on ? nucleus(&r, most, s->how.top_p) : most;
    for (int64_t i = 0; i < kept; i++)
        if (ranked(&r, i)->weight < s->how.min_p)
            kept = i;
    for (int64_t i = 0; i < kept / 2; i++) { /* the likeliest first */
        const Word word = s->words[count - 1 - i];
        s->words[count - 1 - i] = s->words[count - kept + i];
        s->words[count - kept + i] = word;
    }
    for (int64_t i = 0; i < kept; i++)
        s->words[i] = s->words[count - kept + i];
    return kept;
}

/* min-p alone needs no order. */
static int64_t
keep_probable(const ssmc_sampler *s, int64_t count)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        if (s->words[i].weight >= s->how.min_p)
            s->words[kept++] = s->words[i];
    return kept;
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
draw(ssmc_sampler *s, int64_t count)
{
    double left = uniform(s) * sum(s->words, count);
    int32_t id = s->words[0].id;
    for (int64_t i = 0; i < count && left >= 0; i++) {
        left -= s->words[i].weight;
        if (s->words[i].weight > 0)
            id = s->words[i].id;
    }
    return id;
}

static int32_t
choose(ssmc_sampler *s, const float *logits)
{
    if (s->how.temperature == 0)
        return greedy(logits, s->vocab);
    int64_t count = gather(s, logits);
    if (count == 0)
        return greedy(logits, s->vocab);
    const bool top_k = s->how.top_k > 0 && s->how.top_k < count;
    if (top_k || (s->how.top_p > 0 && s->how.top_p < 1))
        count = keep_likeliest(s, count);
    else if (s->how.min_p > 0)
        count = keep_probable(s, count);
    return draw(s, count);
}

int32_t
ssmc_sample(ssmc_sampler *s, float *logits)
{
    penalise(s, logits);
    const int32_t id = choose(s, logits);
    ssmc_sampler_see(s, id);
    return id;
}
