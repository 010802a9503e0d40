/* runtime/weights.h -- what weights are made of: shared by weights.c (files) and init.c (rules). */
#ifndef SSMC_RUNTIME_WEIGHTS_H
#define SSMC_RUNTIME_WEIGHTS_H

#include "runtime/internal.h"

typedef struct RtMade RtMade; /* how a weight is made (init.c) */

/* A weight made of several tensors (join.c). */
typedef struct {
    RtTensor tensor;         /* no name: it could not be made */
    char *name;              /* owns */
    const RtTensor **member; /* owns */
    const RtTensor *of;      /* of a tensor with blocks, whose data this keeps; NULL: none */
    void *whole;             /* owns: pages, its data in one place; NULL: not needed so far */
} RtJoined;

struct ssmc_weights {
    RtTensorFile **files; /* owns: [nfiles] */
    int nfiles;
    RtTensor *tensors; /* owns: [count] */
    int count;
    RtIndex index;
    char *names;  /* owns: names of weights made by rules */
    RtMade *made; /* owns: [count] their rules; NULL: weights of files */
    char *pages;  /* owns: data that is not in files */
    size_t page_bytes;
    RtJoined **joined; /* owns: [njoined] */
    int njoined;
    char *note;      /* owns: which of several files these are; NULL: there was no choice */
    char *in_blocks; /* owns: how many tensors lie in which blocks; NULL: none */
};

/* Empty, with room for `most` tensors. */
ssmc_status rt_weights_new(int most, ssmc_weights **out);
/* After the tensors are there: the list by name. path: for the message. */
ssmc_status rt_weights_index(ssmc_weights *w, const char *path);
/* What a weight is made from by its rule: the seed and its name; never 0. */
uint64_t rt_made_key(const ssmc_weights *w, const RtTensor *t);
/* A thread's share of a weight made by a rule. */
void rt_made_fill(const ssmc_weights *w, const RtTensor *t, float *data, int thread, int threads);
const RtTensor *rt_joined_find(const ssmc_weights *w, const char *name, size_t len);
/* A thread's share of the data of a weight made of several tensors. */
void rt_joined_fill(const ssmc_weights *w, const RtTensor *t, char *data, int thread, int threads);
/* An entry of the list for a tensor whose data are not in files: its room; NULL: no memory. */
void *rt_joined_room(ssmc_weights *w, const RtTensor *t);
/* Whether bytes lie in such a room. */
bool rt_joined_holds(const ssmc_weights *w, const char *at);
/* Whether a stack of matrices is rows of `dim`, one matrix after the other, however many. */
bool rt_stack_fits(const int64_t *dim, int rank, const RtTensor *t);
void rt_joined_close(ssmc_weights *w);
/* Bytes of a tensor that will hardly be read again. Of any thread. */
void rt_weights_done(const ssmc_weights *w, const void *from, size_t bytes);
/* All that lies in files: what the system mapped around what was read, too. What kernels read comes
 * back as they do. */
void rt_weights_rest(const ssmc_weights *w);

#endif
