/* runtime/session.h -- what a session is made of: its memory, whose size is known before it is
 * taken, what runs on it, and the reserve of its growing states. Shared by session.c (its life),
 * batch.c (feeding), kept.c (growing states), snapshot.c and state_file.c (states as values). */
#ifndef SSMC_RUNTIME_SESSION_H
#define SSMC_RUNTIME_SESSION_H

#include "runtime/device.h"

/* Where what a pass is told lies. */
typedef struct {
    size_t input[RT_INPUTS]; /* int32 [most T] or [most R] */
    size_t seg;              /* AbiSeg [most segments] */
} RtTold;

/* Offsets, each a multiple of RT_LINE. Kernels see what lies before `own`; from `output` to there
 * is what the host and the kernels tell each other. Where the device has memory of its own, bytes 0
 * to `own` are there, and the host has `output` to `own` once more; else all of it is one piece. */
typedef struct {
    size_t states; /* [sequences] of state_stride */
    size_t slab;   /* activations; of two halves (RtDevice.halves) those of the first */
    size_t beside; /* in it: those of the second half */
    size_t output; /* what a pass gives */
    /* What a pass of each entry is told: no more than a session of so many sequences can have, so
     * that the one copy of it, which ends with the last segment, is short. */
    RtTold told[RT_MOST_ENTRIES];
    /* The host's of a pass in slot 1 (device.h): of the entry for single tokens; and the list of
     * one candidate that it gives. */
    RtTold ahead;
    size_t given;
    size_t own;       /* of the host alone, from here on */
    size_t scratch;   /* [threads] of scratch_stride */
    size_t parts;     /* RtParts [2][threads] */
    size_t pick;      /* RtPick [rows] */
    size_t owner;     /* int32 [block]: which input a segment is a piece of */
    size_t sequences; /* RtSequence [sequences] */
    size_t inputs;    /* ssmc_input [sequences], for calls that are written as ssmc_feed */
    size_t at;        /* int64 [sequences]: tokens of each input that have been read */
    size_t operands;  /* void * [nentries + 1][noperands]: the last are of a second half */
    size_t kept_at;   /* size_t [nstates]: where growing states begin */
    size_t seconds;   /* double [nsteps] */
    size_t total;
} RtLayout;
/* Threads of the host that a session works with, of those asked for. */
int rt_session_threads(const ssmc_program *program, int threads);
/* False when it is more than there can be. */
bool rt_session_layout(const ssmc_program *program, int sequences, int threads, RtLayout *out);

/* Positions are int32, and rows whole groups. */
#define RT_MOST_ROOM ((int64_t)INT32_MAX / ABI_ROOM_STEP * ABI_ROOM_STEP)

typedef struct {
    int64_t tokens; /* read since its states were zero */
    int64_t grown;  /* tokens whose rows have memory on the device */
    uint64_t named; /* the newest call that named it */
} RtSequence;

/* What becomes of a picked row: its logits go somewhere; or an id is drawn, greedily where there is
 * no sampler. */
typedef struct {
    float *logits;
    ssmc_sampler *sampler;
    int32_t *id;
} RtPick;

struct ssmc_session {
    const ssmc_model *model; /* borrowed */
    const RtDevice *device;  /* the model's */
    int sequences;
    RtLayout layout;
    /* owns: `layout` from its begin, from .output and from .own on. Only `here` is there, and has
     * all of it, where the device's memory is the host's. */
    char *there, *told, *here;
    RtQueue *queue; /* owns */
    int64_t room;   /* tokens of a sequence; INT64_MAX: nothing grows */
    char *kept;     /* owns: a reserve there, [sequences] of kept_stride; NULL: nothing grows */
    size_t kept_stride, kept_bytes;
    RtPool *pool;
    char *looked; /* owns: pages, what rt_session_state copies to; NULL: the device's memory is here
                   */
    /* Views. */
    char *states; /* there */
    int32_t *input[RT_INPUTS];
    AbiSeg *seg;
    int32_t *owner;
    RtPick *pick;
    RtSequence *sequence;
    ssmc_input *inputs;
    int64_t *at;
    size_t *kept_at; /* [nstates] */
    uint64_t calls;  /* that named sequences */
    AbiCall call;
    AbiCall half[2]; /* of a pass that is run as two */
    int64_t
        halved; /* rows of the first of them, by which the operands of the second lie; 0: none */
    RtRun run;
    ssmc_progress *progress;
    void *progress_user;
};

ssmc_status rt_session_check(const ssmc_session *s, int seq); /* there is such a sequence */
char *rt_session_states(const ssmc_session *s, int seq);      /* there, [state_stride] bytes */
/* As the device's put and get; where all memory is the host's, over the session's threads. */
ssmc_status rt_session_put(const ssmc_session *s, char *there, const char *here, size_t bytes);
ssmc_status rt_session_get(const ssmc_session *s, char *here, const char *there, size_t bytes);
/* The next passes are of this entry, by its number, and in this slot, which is 1 of the entry for
 * single tokens alone: input, seg, and what is copied of them. */
void rt_session_tell(ssmc_session *s, int entry, int slot);
int rt_session_step_entry(const ssmc_program *program); /* that for single tokens */
/* Before a pass of single tokens, told and ready to run: where all of its rows are picked, and the
 * device has that for so many, it is run as two halves. */
void rt_session_halve(ssmc_session *s);
/* Lists of one candidate that a pass in this slot gives. */
RtCopy rt_session_given(const ssmc_session *s, int rows, int slot);
/* The first `rows` rows of an output of f32: there, and where the host has them. */
RtCopy rt_session_output(const ssmc_session *s, const AbiOutput *output, int64_t rows);
/* A sequence of so many tokens has room here, or SSMC_FULL: "what has read N tokens ...". */
ssmc_status rt_session_fits(const ssmc_session *s, int64_t tokens, const char *what);

/* ---- growing states (kept.c) --------------------------------------------------------------- */

/* The reserve of a session, each of whose sequences can hold `room` tokens; at [nstates]: where
 * each state begins in that of a sequence, or NULL. False: more than there can be. */
bool rt_kept_layout(const ssmc_program *program, int sequences, int64_t room, size_t *at,
                    size_t *stride, size_t *bytes);
/* Takes the reserve of a session whose memory is laid out and whose room is set. */
ssmc_status rt_kept_open(ssmc_session *s);
int64_t rt_kept_block(const ssmc_program *program); /* AbiCall.block */

/* Rows of a state that a sequence of so many tokens goes on from, of all tokens or of a window, in
 * whole groups of ABI_ROOM_STEP; and their bytes of all states. */
int64_t rt_kept_rows(const AbiState *state, int64_t tokens);
size_t rt_kept_bytes(const ssmc_program *program, int64_t tokens);
/* A walk over these rows in the order of their tokens, a piece for each range that lies together in
 * the session:
 *     for (RtKeptWalk w = rt_kept_walk(s, seq, state, tokens); rt_kept_next(&w);)
 *         status = rt_session_get(s, to, w.at, w.bytes); */
typedef struct {
    char *at; /* the piece, there */
    size_t bytes;
    char *rows;                  /* of the state */
    int64_t first, end;          /* groups that are left, by the positions of their tokens */
    int64_t groups, group_bytes; /* of the state; after the last group comes the first again */
} RtKeptWalk;
RtKeptWalk rt_kept_walk(const ssmc_session *s, int seq, int state, int64_t tokens);
bool rt_kept_next(RtKeptWalk *walk); /* false: there is no other piece */
/* Copies these rows of a sequence of `tokens` tokens from bytes, and *from to what follows them. */
ssmc_status rt_kept_put(ssmc_session *s, int seq, int state, int64_t tokens, const char **from);
/* Before those rows of a sequence of `tokens` tokens are copied into sequence seq: whatever other
 * rows it has used are zero again. */
ssmc_status rt_kept_clear(ssmc_session *s, int seq, int64_t tokens);
/* Before sequence seq comes to have `tokens` tokens: there is memory for their rows. Nothing that
 * it has changes, and nothing else does where there is none. */
ssmc_status rt_kept_grow(ssmc_session *s, int seq, int64_t tokens);

#endif
