/* tests/unit/test_sampling.c -- which ids a sampler draws, and how often. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

enum { MOST = 16 };

static ssmc_sampler *
sampler(ssmc_sampling how, int64_t vocab)
{
    ssmc_sampler *s = NULL;
    cr_assert_eq(ssmc_sampler_open(&how, vocab, &s), SSMC_OK, "%s", ssmc_error());
    return s;
}

/* How often each of n words comes in `draws` draws, as a share. */
static void
shares(ssmc_sampling how, const float *logits, int n, int draws, double *share)
{
    float copy[MOST];
    ssmc_sampler *s = sampler(how, n);
    memset(share, 0, MOST * sizeof *share);
    for (int i = 0; i < draws; i++) {
        memcpy(copy, logits, (size_t)n * sizeof *copy);
        const int32_t id = ssmc_sample(s, copy);
        cr_assert(id >= 0 && id < n);
        share[id] += 1.0 / draws;
    }
    ssmc_sampler_close(s);
}

static int32_t
one(ssmc_sampling how, const float *logits, int n)
{
    float copy[MOST];
    ssmc_sampler *s = sampler(how, n);
    memcpy(copy, logits, (size_t)n * sizeof *copy);
    const int32_t id = ssmc_sample(s, copy);
    ssmc_sampler_close(s);
    return id;
}

/* Probabilities 0.4 0.3 0.2 0.1, out of order. */
static const float four[4] = {-1.6094379f, -0.9162907f, -2.3025851f, -1.2039728f};

static void
expect_shares(ssmc_sampling how, const double *want)
{
    double share[MOST];
    shares(how, four, 4, 40000, share);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(share[i], want[i], want[i] ? 0.01 : 0, "word %d: %g, expected %g", i,
                           share[i], want[i]);
}

Test(sampling, temperature_scales_logits)
{
    expect_shares((ssmc_sampling){.temperature = 1}, (const double[]){0.2, 0.4, 0.1, 0.3});
    const double total = 0.04 + 0.16 + 0.01 + 0.09; /* at temperature 1/2: squares */
    expect_shares((ssmc_sampling){.temperature = 0.5},
                  (const double[]){0.04 / total, 0.16 / total, 0.01 / total, 0.09 / total});
    expect_shares((ssmc_sampling){.temperature = 1e9}, (const double[]){0.25, 0.25, 0.25, 0.25});
    expect_shares((ssmc_sampling){.temperature = 1e-300}, (const double[]){0, 1, 0, 0});
    expect_shares((ssmc_sampling){.temperature = 0}, (const double[]){0, 1, 0, 0});
}

Test(sampling, filters)
{
    expect_shares((ssmc_sampling){.temperature = 1, .top_k = 2},
                  (const double[]){0, 4 / 7.0, 0, 3 / 7.0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_k = 1}, (const double[]){0, 1, 0, 0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_k = 9},
                  (const double[]){0.2, 0.4, 0.1, 0.3});
    expect_shares((ssmc_sampling){.temperature = 1, .top_p = 0.39}, (const double[]){0, 1, 0, 0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_p = 0.69},
                  (const double[]){0, 4 / 7.0, 0, 3 / 7.0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_p = 0.71},
                  (const double[]){2 / 9.0, 4 / 9.0, 0, 3 / 9.0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_p = 1},
                  (const double[]){0.2, 0.4, 0.1, 0.3});
    expect_shares((ssmc_sampling){.temperature = 1, .min_p = 0.6},
                  (const double[]){0, 4 / 7.0, 0, 3 / 7.0});
    expect_shares((ssmc_sampling){.temperature = 1, .min_p = 0.45},
                  (const double[]){2 / 9.0, 4 / 9.0, 0, 3 / 9.0});
    expect_shares((ssmc_sampling){.temperature = 1, .min_p = 1}, (const double[]){0, 1, 0, 0});
}

Test(sampling, filters_follow_one_another)
{
    /* Of the 3 likeliest, top-p counts 4/9 + 3/9 = 0.78: without top-k it is 0.7, and a third is
     * needed. */
    expect_shares((ssmc_sampling){.temperature = 1, .top_k = 3, .top_p = 0.75},
                  (const double[]){0, 4 / 7.0, 0, 3 / 7.0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_p = 0.75},
                  (const double[]){2 / 9.0, 4 / 9.0, 0, 3 / 9.0});
    /* Temperature comes before min-p: at 1/2, 0.3 is 9/16 of 0.4. */
    expect_shares((ssmc_sampling){.temperature = 0.5, .min_p = 0.6}, (const double[]){0, 1, 0, 0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_k = 3, .min_p = 0.6},
                  (const double[]){0, 4 / 7.0, 0, 3 / 7.0});
    expect_shares((ssmc_sampling){.temperature = 1, .top_p = 0.95, .min_p = 0.8},
                  (const double[]){0, 1, 0, 0});
}

Test(sampling, equal_logits_go_by_the_lowest_id)
{
    const float equal[6] = {1, 2, 2, 2, 2, 1};
    double share[MOST];
    cr_assert_eq(one((ssmc_sampling){0}, equal, 6), 1);
    shares((ssmc_sampling){.temperature = 1, .top_k = 2}, equal, 6, 4000, share);
    cr_assert(share[1] > 0.45 && share[2] > 0.45 && share[1] + share[2] > 0.9999);
    shares((ssmc_sampling){.temperature = 1, .top_p = 0.3}, equal, 6, 4000, share);
    cr_assert(share[1] > 0.45 && share[2] > 0.45 && share[1] + share[2] > 0.9999);
}

Test(sampling, repeated_words_are_penalised_whatever_their_sign)
{
    float logits[3] = {2, -1, 1.5f};
    ssmc_sampler *s = sampler((ssmc_sampling){.repeat_penalty = 2}, 3);
    ssmc_sampler_see(s, 1);
    ssmc_sampler_see(s, 1);
    ssmc_sampler_see(s, -1);
    ssmc_sampler_see(s, 3);
    cr_assert_eq(ssmc_sample(s, logits), 0);
    cr_assert(logits[0] == 2 && logits[1] == -2 && logits[2] == 1.5f);
    float again[3] = {2, -1, 1.5f};
    cr_assert_eq(ssmc_sample(s, again), 2); /* 0 has been drawn, and counts 1 now */
    cr_assert(again[0] == 1 && again[1] == -2 && again[2] == 1.5f);
    ssmc_sampler_close(s);
}

/* Of drawn words alone: those of the prompt are seen, but were not drawn. */
Test(sampling, drawn_words_are_penalised_once_and_for_each_time)
{
    ssmc_sampler *s = sampler((ssmc_sampling){.presence_penalty = 1, .frequency_penalty = 0.25}, 3);
    ssmc_sampler_see(s, 0);
    float first[3] = {2, 1.5f, -INFINITY}, second[3] = {2, 1.5f, 1}, third[3] = {2.5f, 1, 1};
    cr_assert_eq(ssmc_sample(s, first), 0);
    cr_assert(first[0] == 2 && first[1] == 1.5f);
    cr_assert_eq(ssmc_sample(s, second), 1);
    cr_assert(second[0] == 0.75f && second[1] == 1.5f);
    cr_assert_eq(ssmc_sample(s, third), 0);
    cr_assert(third[0] == 1.25f && third[1] == -0.25f && third[2] == 1);
    float fourth[3] = {2.5f, 0, 0};
    ssmc_sample(s, fourth);
    cr_assert(fourth[0] == 1 && fourth[1] == -1.25f, "0 was drawn twice");
    ssmc_sampler_close(s);
}

Test(sampling, a_negative_penalty_makes_drawn_words_likelier)
{
    ssmc_sampler *s = sampler((ssmc_sampling){.frequency_penalty = -1}, 3);
    float first[3] = {2, 1.5f, 0}, second[3] = {2, 2.5f, 0};
    cr_assert_eq(ssmc_sample(s, first), 0);
    cr_assert_eq(ssmc_sample(s, second), 0);
    cr_assert_eq(second[0], 3);
    ssmc_sampler_close(s);
}

Test(sampling, the_seed_decides)
{
    int32_t first[3][64];
    for (int run = 0; run < 3; run++) {
        ssmc_sampler *s =
            sampler((ssmc_sampling){.temperature = 1, .top_k = 3, .seed = run == 2}, 4);
        for (int i = 0; i < 64; i++) {
            float copy[4];
            memcpy(copy, four, sizeof copy);
            first[run][i] = ssmc_sample(s, copy);
        }
        ssmc_sampler_close(s);
    }
    cr_assert_arr_eq(first[0], first[1], sizeof first[0]);
    cr_assert_arr_neq(first[0], first[2], sizeof first[0]);
}

Test(sampling, logits_that_are_no_numbers_are_never_drawn)
{
    const float inf = INFINITY, odd[8] = {NAN, -inf, 1, NAN, 2, -inf, 0, NAN};
    const ssmc_sampling ways[] = {
        {0},
        {.temperature = 1},
        {.temperature = 1, .top_k = 3},
        {.temperature = 1, .top_p = 0.9},
        {.temperature = 1, .min_p = 0.1},
        {.temperature = 1e-40, .top_k = 100, .top_p = 0.5, .min_p = 0.5}
    };
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        double share[MOST];
        shares(ways[w], odd, 8, 500, share);
        cr_expect(share[2] + share[4] + share[6] > 0.9999, "way %zu", w);
        const float nans[3] = {NAN, NAN, NAN}, lows[3] = {-inf, -inf, -inf},
                    high[3] = {1, inf, inf};
        cr_expect_eq(one(ways[w], nans, 3), 0);
        cr_expect_eq(one(ways[w], lows, 3), 0);
        const int32_t id = one(ways[w], high, 3);
        cr_expect(id == 1 || id == 2);
        cr_expect_eq(one(ways[w], high, 1), 0);
    }
    /* A penalty that takes logits over the edge. */
    ssmc_sampler *s = sampler((ssmc_sampling){.temperature = 1, .repeat_penalty = 1e300}, 3);
    for (int i = 0; i < 9; i++) {
        float logits[3] = {3e38f, -3e38f, NAN};
        const int32_t id = ssmc_sample(s, logits);
        cr_assert(id >= 0 && id < 3);
    }
    ssmc_sampler_close(s);
}

Test(sampling, refuses_what_means_nothing)
{
    const ssmc_sampling bad[] = {{.temperature = -1},
                                 {.temperature = NAN},
                                 {.temperature = INFINITY},
                                 {.top_k = -1},
                                 {.top_p = 1.1},
                                 {.top_p = NAN},
                                 {.min_p = -0.1},
                                 {.repeat_penalty = -1},
                                 {.min_p = 2},
                                 {.presence_penalty = NAN},
                                 {.frequency_penalty = INFINITY},
                                 {.repeat_penalty = INFINITY}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ssmc_sampler *s = NULL;
        cr_expect_eq(ssmc_sampler_open(&bad[i], 10, &s), SSMC_BAD_ARGUMENT, "%zu", i);
        cr_expect_null(s);
    }
    ssmc_sampler *s = NULL;
    cr_expect_eq(ssmc_sampler_open(&(ssmc_sampling){0}, 0, &s), SSMC_BAD_ARGUMENT);
    cr_expect_eq(ssmc_sampler_open(&(ssmc_sampling){0}, INT64_MAX, &s), SSMC_BAD_ARGUMENT);
    ssmc_sampler_close(NULL);
}

/* The heap against a sort, over logits with many ties. */
static int
descending(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

Test(sampling, top_k_of_a_large_vocabulary)
{
    enum { VOCAB = 260000, K = 40 };
    float *logits = malloc(VOCAB * sizeof *logits), *sorted = malloc(VOCAB * sizeof *sorted);
    uint64_t random = 1;
    for (int i = 0; i < VOCAB; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        logits[i] = (float)(random >> 44) * 0x1p-16f; /* 0 to 16, in 2^20 steps */
    }
    memcpy(sorted, logits, VOCAB * sizeof *sorted);
    qsort(sorted, VOCAB, sizeof *sorted, descending);
    ssmc_sampler *s =
        sampler((ssmc_sampling){.temperature = 100, .top_k = K, .top_p = 0.999}, VOCAB);
    bool lowest = false;
    for (int i = 0; i < 100; i++) {
        const int32_t id = ssmc_sample(s, logits);
        cr_assert_geq(logits[id], sorted[K - 1]);
        lowest = lowest || logits[id] <= sorted[K - 5];
    }
    cr_assert(lowest);
    ssmc_sampler_close(s);
    free(sorted);
    free(logits);
}

/* ---- from candidates ----------------------------------------------------------------------- */

enum { WORDS = 700, LISTED = 64 };

/* The likeliest first, of equal ones the first, NaNs last; then their ids. */
static void
list_of(const float *logits, float list[2 * LISTED])
{
    bool taken[WORDS] = {false};
    for (int k = 0; k < LISTED; k++) {
        int best = -1;
        for (int v = 0; v < WORDS; v++)
            if (!taken[v] && (best < 0 || logits[v] > logits[best] ||
                              (isnan(logits[best]) && !isnan(logits[v]))))
                best = v;
        taken[best] = true;
        list[k] = logits[best];
        list[LISTED + k] = (float)best;
    }
}

/* kind: spread wide, of few values, with what is no number, alike. */
static void
logits_of(int kind, uint64_t *seed, float *logits)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0F, 0, 1e-42F};
    for (int v = 0; v < WORDS; v++) {
        *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        const uint64_t r = *seed >> 33;
        logits[v] = kind == 0   ? (float)(r % 100000) / 5000 - 10
                    : kind == 1 ? (float)(r % 9) - 4
                    : kind == 2 ? odd[r % 6]
                    : kind == 3 ? NAN
                                : (float)(r % 1000) * 1e-6F;
    }
}

/* How many of 60 draws of each kind a list settles; the others are drawn from logits. */
static void
settled(ssmc_sampling how, int kind, int *count)
{
    float logits[WORDS], list[2 * LISTED];
    ssmc_sampler *whole = sampler(how, WORDS), *few = sampler(how, WORDS);
    uint64_t seed = 1 + (uint64_t)kind;
    *count = 0;
    for (int i = 0; i < 60; i++) {
        int32_t id = -1;
        logits_of(kind, &seed, logits);
        list_of(logits, list);
        const bool by_list =
            rt_sampler_wants(few) <= LISTED && rt_sample_candidates(few, list, LISTED, &id);
        *count += by_list;
        if (!by_list) {
            float copy[WORDS];
            memcpy(copy, logits, sizeof copy);
            id = ssmc_sample(few, copy);
        }
        cr_assert_eq(id, ssmc_sample(whole, logits), "kind %d, draw %d%s", kind, i,
                     by_list ? " by candidates" : "");
    }
    ssmc_sampler_close(whole);
    ssmc_sampler_close(few);
}

Test(sampling, candidates_settle_a_draw_as_logits_do_or_not_at_all)
{
    const struct {
        ssmc_sampling how;
        int64_t wants;
        int least; /* of 60 draws from words that are spread wide, so many are settled */
    } cases[] = {
        {{0},                                                                  1,         60},
        {{.repeat_penalty = 1.3},                                              2,         60},
        {{.repeat_penalty = 0.9},                                              INT64_MAX, 0 },
        {{.presence_penalty = 1, .frequency_penalty = 0.5},                    2,         60},
        {{.presence_penalty = 2, .frequency_penalty = -1},                     INT64_MAX, 0 },
        {{.temperature = 2, .top_k = 20, .frequency_penalty = 0.3, .seed = 4}, 21,        50},
        {{.temperature = 1, .top_k = 40, .seed = 1},                           41,        60},
        {{.temperature = 3, .top_k = 40, .top_p = 0.9, .seed = 2},             41,        60},
        {{.temperature = 3, .top_k = 63, .min_p = 0.2, .seed = 3},             64,        60},
        {{.temperature = 3, .top_k = 64, .seed = 3},                           65,        0 },
        {{.temperature = 2, .top_k = 20, .repeat_penalty = 1.2, .seed = 4},    21,        50},
        {{.temperature = 0.5, .min_p = 0.05, .seed = 5},                       2,         50},
        {{.temperature = 0.5, .min_p = 0.05, .repeat_penalty = 2, .seed = 6},  2,         50},
        {{.temperature = 1, .min_p = 0.05, .top_p = 0.9, .seed = 7},           INT64_MAX, 0 },
        {{.temperature = 1, .seed = 8},                                        INT64_MAX, 0 },
    };
    for (size_t i = 0; i < RT_COUNT(cases); i++)
        for (int kind = 0; kind < 5; kind++) {
            int count = 0;
            ssmc_sampler *s = sampler(cases[i].how, WORDS);
            cr_expect_eq(rt_sampler_wants(s), cases[i].wants, "case %zu", i);
            ssmc_sampler_close(s);
            settled(cases[i].how, kind, &count);
            if (kind == 0)
                cr_expect(count >= cases[i].least && (cases[i].least > 0 || count == 0),
                          "case %zu: %d settled", i, count);
        }
}

/* ---- masks ---------------------------------------------------------------------------------- */

/* Words 2 and 3 of four are left, with 0.1 and 0.3: what a grammar allows. */
static const float masked[4] = {-INFINITY, -INFINITY, -2.3025851f, -1.2039728f};

Test(sampling, words_of_minus_infinity_are_never_drawn)
{
    static const struct {
        ssmc_sampling how;
        double third, fourth;
    } of[] = {
        {{.temperature = 0},                           0,    1   },
        {{.temperature = 1},                           0.25, 0.75},
        {{.temperature = 1, .top_k = 1},               0,    1   },
        {{.temperature = 1, .top_k = 4},               0.25, 0.75},
        {{.temperature = 1, .top_p = 0.7},             0,    1   },
        {{.temperature = 1, .top_p = 0.8},             0.25, 0.75},
        {{.temperature = 1, .min_p = 0.3},             0.25, 0.75},
        {{.temperature = 1, .min_p = 0.4},             0,    1   },
        {{.temperature = 1, .top_k = 3, .top_p = 0.9}, 0.25, 0.75},
        {{.temperature = 1e-30},                       0,    1   },
    };
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        double share[MOST];
        shares(of[i].how, masked, 4, 20000, share);
        cr_expect_eq(share[0] + share[1], 0, "row %zu", i);
        cr_expect_float_eq(share[2], of[i].third, 0.015, "row %zu: %g", i, share[2]);
        cr_expect_float_eq(share[3], of[i].fourth, 0.015, "row %zu: %g", i, share[3]);
    }
}

/* A penalty moves words, seen ones of minus infinity too, but never among those or from them. */
Test(sampling, a_penalty_leaves_masked_words_out)
{
    static const double penalties[] = {0.5, 2, 1e6};
    static const double temperatures[] = {0, 1};
    static const float far[4] = {-INFINITY, -INFINITY, -3e38f, -INFINITY};
    for (size_t p = 0; p < 3; p++) {
        for (size_t t = 0; t < 2; t++) {
            const ssmc_sampling how = {.temperature = temperatures[t],
                                       .repeat_penalty = penalties[p]};
            ssmc_sampler *s = sampler(how, 4);
            for (int32_t id = 0; id < 4; id++)
                ssmc_sampler_see(s, id);
            float copy[4];
            memcpy(copy, masked, sizeof copy);
            cr_expect_geq(ssmc_sample(s, copy), 2);
            memcpy(copy, far, sizeof copy);
            cr_expect_eq(ssmc_sample(s, copy), 2, "penalty %g, temperature %g", penalties[p],
                         temperatures[t]);
            ssmc_sampler_close(s);
        }
    }
}

static int
by_weight(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

/* Top-p of a vocabulary of which most is dropped before it is ranked: the words that are drawn are
 * those of a list that is sorted whole, flat or steep, with logits that are equal. */
Test(sampling, a_nucleus_is_that_of_the_sorted_words)
{
    enum { VOCAB = 3000, DRAWS = 4000 };
    static const ssmc_sampling ways[] = {
        {.temperature = 1,     .top_p = 0.5,   .seed = 1},
        {.temperature = 0.3,   .top_p = 0.95,  .seed = 2},
        {.temperature = 20,    .top_p = 0.9,   .seed = 3},
        {.temperature = 1e-6,  .top_p = 0.999, .seed = 4},
        {.temperature = 1e300, .top_p = 0.01,  .seed = 5},
    };
    static float logits[VOCAB], given[VOCAB];
    static double weight[VOCAB], sorted[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        logits[i] = (float)(i * 7919 % 1500) * 0.01f - 9;
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        double total = 0, reached = 0, least = 0;
        for (int i = 0; i < VOCAB; i++)
            total += sorted[i] = weight[i] = exp((logits[i] - 5.99) / ways[w].temperature);
        qsort(sorted, VOCAB, sizeof *sorted, by_weight);
        for (int i = 0; i < VOCAB && reached < ways[w].top_p * total; i++)
            reached += least = sorted[i];
        ssmc_sampler *s = NULL;
        cr_assert_eq(ssmc_sampler_open(&ways[w], VOCAB, &s), SSMC_OK);
        bool steep = false;
        for (int i = 0; i < DRAWS; i++) {
            memcpy(given, logits, sizeof given);
            const int32_t id = ssmc_sample(s, given);
            cr_expect_geq(weight[id], least * 0.9999, "way %zu: %d is drawn", w, (int)id);
            steep = steep || weight[id] < least * 1.2;
        }
        cr_expect(steep, "way %zu: the least likely of the nucleus are drawn, too", w);
        ssmc_sampler_close(s);
    }
}
