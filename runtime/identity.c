/* runtime/identity.c -- which model a saved state belongs to.
 *
 * The description's own number (AbiProgram.identity) says what is computed; a hash of every weight
 * says with which numbers; of a weight made by a rule, the number it is made from. XXH3 (128 bits)
 * reads about as fast as memory gives; its functions are compiled in from its header, so that
 * compiled models need no library for it. Hashes of weights are added, so that their order, which
 * differs from build to build, does not matter. */
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
    uint64_t made[]; /* [nweights]: what a rule makes the weight from; 0: it has data of its own */
};

uint64_t
rt_hash(const void *data, size_t bytes)
{
    return XXH3_64bits(data, bytes);
}

static RtHash
hash_wide(const void *data, size_t bytes)
{
    const XXH128_hash_t hash = XXH3_128bits(data, bytes);
    return (RtHash){hash.low64, hash.high64};
}

/* Of what a weight holds: what it is made by, or its bytes, which nobody else may want for long. */
static RtHash
content_hash(const ssmc_model *model, int weight)
{
    const AbiWeight *w = &model->program->abi->weights[weight];
    const uint64_t made = model->identity->made[weight];
    const uint64_t rule[] = {made, rt_hash(w->init, strlen(w->init))};
    size_t bytes = 0;
    if (made)
        return hash_wide(rule, sizeof rule);
    if (!rt_tensor_bytes(rt_abi_bits(w->dtype), w->dim, w->rank, &bytes))
        bytes = 0; /* no program whose weights are too large is opened */
    const RtHash hash = hash_wide(model->weights[weight], bytes);
    rt_weights_done(model->source, model->weights[weight], bytes);
    return hash;
}

/* A name that is still a list of spellings counts by its first. */
static RtHash
weight_hash(const ssmc_model *model, int weight)
{
    const AbiWeight *w = &model->program->abi->weights[weight];
    const RtHash content = content_hash(model, weight);
    uint64_t record[9] = {rt_hash(w->tensor, strcspn(w->tensor, "|")), (uint64_t)w->dtype,
                          (uint64_t)w->rank, content.low, content.high};
    for (int i = 0; i < w->rank; i++)
        record[5 + i] = (uint64_t)w->dim[i];
    return hash_wide(record, sizeof record);
}

static RtHash
weights_hash(const ssmc_model *model)
{
    RtHash sum = {0};
    for (int i = 0; i < model->program->abi->nweights; i++) {
        const RtHash hash = weight_hash(model, i);
        sum.low += hash.low;
        sum.high += hash.high;
    }
    return sum;
}

RtIdentity *
rt_identity_new(int weights)
{
    size_t bytes = 0;
    if (!rt_mul((size_t)weights, sizeof(uint64_t), &bytes) ||
        !rt_add(bytes, sizeof(RtIdentity), &bytes))
        return NULL;
    RtIdentity *identity = calloc(1, bytes);
    if (identity)
        pthread_mutex_init(&identity->mutex, NULL);
    return identity;
}

void
rt_identity_made(RtIdentity *identity, int weight, uint64_t key)
{
    identity->made[weight] = key;
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
        const RtHash weights = weights_hash(model);
        const uint64_t record[] = {abi->identity, (uint64_t)abi->vocab, weights.low, weights.high};
        identity->hash = hash_wide(record, sizeof record);
        identity->known = true;
    }
    const RtHash hash = identity->hash;
    pthread_mutex_unlock(&identity->mutex);
    return hash;
}
