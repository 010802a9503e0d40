/* runtime/identity.c -- which model a saved state belongs to.
 *
 * The description's own number (AbiProgram.identity) says what is computed; a hash of every weight
 * says with which numbers. XXH3 (128 bits) reads about as fast as memory gives; its functions are
 * compiled in from its header, so that compiled models need no library for it. Hashes of weights
 * are added, so that their order, which differs from build to build, does not matter. */
#define XXH_INLINE_ALL
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/weights.h"

struct RtIdentity {
    pthread_mutex_t mutex;
    bool known;
    RtHash hash;
};

uint64_t
rt_checksum(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

static RtHash
hash_wide(const void *data, size_t bytes)
{
    const XXH128_hash_t hash = XXH3_128bits(data, bytes);
    return (RtHash){hash.low64, hash.high64};
}

/* Of what a weight holds: the file's bytes, which nobody else may read for long, or what they are
 * made by. */
static RtHash
content_hash(const AbiWeight *weight, const ssmc_weights *w, const RtTensor *t)
{
    if (w->made) {
        const uint64_t rule[] = {rt_made_key(w, t),
                                 rt_checksum(weight->init, strlen(weight->init))};
        return hash_wide(rule, sizeof rule);
    }
    const RtHash hash = hash_wide(t->data, t->bytes);
    rt_weights_done(w, t->data, t->bytes);
    return hash;
}

/* A name that is still a list of spellings counts by its first. */
static RtHash
weight_hash(const AbiWeight *weight, const ssmc_weights *w)
{
    const RtTensor *t = rt_weights_find_any(w, weight->tensor); /* bound: it is there */
    const RtHash content = content_hash(weight, w, t);
    uint64_t record[9] = {rt_checksum(weight->tensor, strcspn(weight->tensor, "|")),
                          (uint64_t)weight->dtype, (uint64_t)weight->rank, content.low,
                          content.high};
    for (int i = 0; i < weight->rank; i++)
        record[5 + i] = (uint64_t)weight->dim[i];
    return hash_wide(record, sizeof record);
}

RtHash
rt_weights_hash(const AbiProgram *abi, const ssmc_weights *weights)
{
    RtHash sum = {0};
    for (int i = 0; i < abi->nweights; i++) {
        const RtHash hash = weight_hash(&abi->weights[i], weights);
        sum.low += hash.low;
        sum.high += hash.high;
    }
    return sum;
}

RtIdentity *
rt_identity_new(void)
{
    RtIdentity *identity = calloc(1, sizeof *identity);
    if (identity)
        pthread_mutex_init(&identity->mutex, NULL);
    return identity;
}

void
rt_identity_free(RtIdentity *identity)
{
    if (!identity)
        return;
    pthread_mutex_destroy(&identity->mutex);
    free(identity);
}

RtHash
rt_model_identity(const ssmc_model *model)
{
    RtIdentity *identity = model->identity;
    pthread_mutex_lock(&identity->mutex);
    if (!identity->known) {
        const AbiProgram *abi = model->program->abi;
        const RtHash weights = rt_weights_hash(abi, model->source);
        const uint64_t record[] = {abi->identity, (uint64_t)abi->vocab, weights.low, weights.high};
        identity->hash = hash_wide(record, sizeof record);
        identity->known = true;
    }
    const RtHash hash = identity->hash;
    pthread_mutex_unlock(&identity->mutex);
    return hash;
}
