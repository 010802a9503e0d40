/* runtime/session.h -- how the memory of a session is laid out: one piece, whose size is known
 * before it is taken. */
#ifndef SSMC_RUNTIME_SESSION_H
#define SSMC_RUNTIME_SESSION_H

#include "runtime/internal.h"

/* Offsets into the piece, each a multiple of RT_LINE. */
typedef struct {
    size_t states;   /* [sequences] of state_stride */
    size_t slab;     /* activations */
    size_t scratch;  /* [threads] of scratch_stride */
    size_t output;   /* logits of a pass of the head */
    size_t ids;      /* int32 [block] */
    size_t pick;     /* int32 [head_rows] */
    size_t seg;      /* AbiSeg [block] */
    size_t seen;     /* uint64 [sequences]: the newest ssmc_step that named it */
    size_t operands; /* void * [noperands] */
    size_t seconds;  /* double [nsteps] */
    size_t total;
} RtLayout;
/* False when it is more than there can be. */
bool rt_session_layout(const ssmc_program *program, int sequences, int threads, RtLayout *out);

#endif
