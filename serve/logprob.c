/* serve/logprob.c -- probabilities of a row of logits: softmax, summed in float64. */
#include <math.h>

#include "serve/internal.h"

double
logits_log_sum(const float *logits, int64_t vocab)
{
    float largest = -INFINITY;
    for (int64_t i = 0; i < vocab; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    if (!isfinite(largest))
        return largest;
    double sum = 0;
    for (int64_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - (double)largest);
    return (double)largest + log(sum);
}

/* top [n] is sorted, and short: a row has few logits that come before its last one. */
int
logits_top(const float *logits, int64_t vocab, double log_sum, EngineRank *top, int n)
{
    int count = 0;
    for (int64_t i = 0; i < vocab && n > 0; i++) {
        const float logit = logits[i];
        if (isnan(logit) || (count == n && logit <= top[n - 1].logprob))
            continue;
        int at = count < n ? count++ : n - 1;
        for (; at > 0 && top[at - 1].logprob < logit; at--)
            top[at] = top[at - 1];
        top[at] = (EngineRank){(int32_t)i, logit};
    }
    for (int i = 0; i < count; i++)
        top[i].logprob = (float)((double)top[i].logprob - log_sum);
    return count;
}
