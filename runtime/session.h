/* runtime/session.h -- what a session is made of: its memory in one piece, whose size is known
 * before it is taken, and what runs on it. Shared by session.c (its life), batch.c (feeding),
 * snapshot.c and state_file.c (states as values). */
#ifndef SSMC_RUNTIME_SESSION_H
#define SSMC_RUNTIME_SESSION_H

#include "runtime/internal.h"

/* Offsets into the piece, each a multiple of RT_LINE. */
typedef struct {
    size_t states;    /* [sequences] of state_stride */
    size_t slab;      /* activations */
    size_t scratch;   /* [threads] of scratch_stride */
    size_t parts;     /* RtParts [2][threads] */
    size_t output;    /* logits of a pass of the head */
    size_t ids;       /* int32 [block] */
    size_t positions; /* int32 [block]: tokens of its sequence before each row */
    size_t pick;      /* int32 [head_rows] */
    size_t to;        /* float * [head_rows]: where the logits of a picked row go */
    size_t seg;       /* AbiSeg [block] */
    size_t owner;     /* int32 [block]: which input a segment is a piece of */
    size_t sequences; /* RtSequence [sequences] */
    size_t inputs;    /* ssmc_input [sequences], for calls that are written as ssmc_feed */
    size_t at;        /* int64 [sequences]: tokens of each input that have been read */
    size_t operands;  /* void * [noperands] */
    size_t seconds;   /* double [nsteps] */
    size_t total;
} RtLayout;
/* False when it is more than there can be. */
bool rt_session_layout(const ssmc_program *program, int sequences, int threads, RtLayout *out);

typedef struct {
    int64_t tokens; /* read since its states were zero */
    uint64_t named; /* the newest call that named it */
} RtSequence;

struct ssmc_session {
    const ssmc_model *model; /* borrowed */
    int sequences;
    char *memory; /* owns: pages, laid out as `layout` */
    RtLayout layout;
    RtPool *pool;
    /* Views into memory. */
    char *states;
    float *output; /* [R,vocab] */
    int32_t *ids, *positions, *pick, *owner;
    float **to;
    AbiSeg *seg;
    RtSequence *sequence;
    ssmc_input *inputs;
    int64_t *at;
    uint64_t calls; /* that named sequences */
    AbiCall call;
    RtRun run;
    ssmc_progress *progress;
    void *progress_user;
};

ssmc_status rt_session_check(const ssmc_session *s, int seq); /* there is such a sequence */
char *rt_session_states(const ssmc_session *s, int seq);      /* [state_stride] bytes */

#endif
