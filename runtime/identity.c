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

#include "runtime/blocks.h"
#include "runtime/internal.h"

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

uint64_t
rt_hash_on(uint64_t before, const void *data, size_t bytes)
{
    return XXH3_64bits_withSeed(data, bytes, before);
}

/* Blocks as the file has them: what they stand for is not made for this. */
static void
update_one(XXH3_state_t *state, const RtTensor *t)
{
    if (t->blocks) {
        XXH3_128bits_update(state, t->blocks->type->name, strlen(t->blocks->type->name));
        XXH3_128bits_update(state, t->blocks->data, t->blocks->bytes);
    } else
        XXH3_128bits_update(state, t->data, t->bytes);
}

/* What the data would hash to in one place. */
static RtHash
hash_members(const RtTensor *joined)
{
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    if (!joined->members)
        update_one(&state, joined);
    for (int i = 0; i < joined->members; i++)
        update_one(&state, joined->member[i]);
    const XXH128_hash_t hash = XXH3_128bits_digest(&state);
    return (RtHash){hash.low64, hash.high64};
}

/* A name that is still a list of spellings counts by its first. */
static RtHash
weight_hash(const AbiWeight *w, const void *data, uint64_t made, const RtTensor *joined)
{
    size_t bytes = 0;
    const bool fits = rt_tensor_bytes(rt_abi_bits(w->dtype), w->dim, w->rank, &bytes);
    const uint64_t rule[] = {made, rt_hash(w->init, strlen(w->init))};
    const RtHash content = joined ? hash_members(joined)
                           : made ? hash_wide(rule, sizeof rule)
                                  : hash_wide(data, fits ? bytes : 0);
    enum { DIM = 5, LEAST = 4 }; /* every record has places of four dimensions */
    uint64_t record[DIM + ABI_MAX_RANK] = {rt_hash(w->tensor, strcspn(w->tensor, "|")),
                                           (uint64_t)w->dtype, (uint64_t)w->rank, content.low,
                                           content.high};
    for (int i = 0; i < w->rank; i++)
        record[DIM + i] = (uint64_t)w->dim[i];
    return hash_wide(record, sizeof *record * (size_t)(DIM + (w->rank > LEAST ? w->rank : LEAST)));
}

static RtHash
weights_hash(const AbiProgram *abi, const void *const *weights, const uint64_t *made,
             const RtTensor *const *joined)
{
    RtHash sum = {0};
    for (int i = 0; i < abi->nweights; i++) {
        if (joined[i] && joined[i]->part) /* its blocks count where they are the weight */
            continue;
        const RtHash hash = weight_hash(&abi->weights[i], weights[i], made[i], joined[i]);
        sum.low += hash.low;
        sum.high += hash.high;
    }
    return sum;
}

RtHash
rt_identity_hash(const AbiProgram *abi, const void *const *weights, const uint64_t *made,
                 const RtTensor *const *joined)
{
    const RtHash hash = weights_hash(abi, weights, made, joined);
    const uint64_t record[] = {abi->identity, (uint64_t)abi_logits(abi)->width, hash.low,
                               hash.high};
    return hash_wide(record, sizeof record);
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
rt_identity_known(RtIdentity *identity, const uint64_t hash[2])
{
    identity->hash = (RtHash){hash[0], hash[1]};
    identity->known = true;
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
        identity->hash =
            rt_identity_hash(model->program->abi, model->weights, identity->made, model->joined);
        identity->known = true;
    }
    const RtHash hash = identity->hash;
    pthread_mutex_unlock(&identity->mutex);
    return hash;
}
