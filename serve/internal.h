/* serve/internal.h -- what the engine's files share: requests, the queue that they wait in, and the
 * engine itself. */
#ifndef SSMC_SERVE_INTERNAL_H
#define SSMC_SERVE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "serve/engine.h"

/* ---- requests ------------------------------------------------------------------------------ */

/* A request belongs to the engine's thread, but for what is said to be shared. */
typedef struct Request Request;
typedef struct Load Load;
struct Request {
    EngineRequest asked; /* owns: client and marks; its ids are `text` */
    int32_t *text; /* owns: [count + drawn] of capacity `cap`, the prompt and what was drawn */
    int64_t cap;
    uint64_t handle;
    uint64_t client;         /* hash of asked.client */
    atomic_bool cancelled;   /* shared */
    ssmc_sampler *sampler;   /* owns; NULL: it has had no slot yet, or draws nothing */
    ssmc_checkpoint *paused; /* owns: its state, when it gave way to others; NULL: none */
    int64_t fed;             /* of text: what the slot's sequence has read */
    int64_t told;            /* of the prompt, where its ids are told */
    int64_t cached, drawn;
    int64_t known;  /* of the prompt: a path that the tree knew as the request began */
    int64_t leaves; /* where it leaves that path, if that is worth a state; 0: nowhere */
    Load *load;     /* owns: it waits for a state from the disk; NULL: it does not */
    uint64_t
        leader; /* it waits until that request has read the first `follows` ids; 0: it does not */
    int64_t follows;
    double submitted, began, first; /* rt_now; 0: not yet */
    int64_t tag;                    /* in the queue: lower ones come first */
    uint64_t place;                 /* among all that got slots, in that order */
    Request *next;                  /* in the inbox (shared) or the queue */
    Request *newer, *older;         /* shared: of those that have not ended */
};

/* ---- the queue (queue.c) ------------------------------------------------------------------- */

/* Requests that wait, in the order in which they get slots: clients take turns, and each one's
 * requests keep their order. */
typedef struct {
    Request *first;
    int64_t tag; /* of the request that was taken last */
} Queue;
void queue_put(Queue *queue, Request *request);
void queue_put_back(Queue *queue, Request *request); /* it was taken, and is the next again */
Request *queue_take(Queue *queue);                   /* NULL: none waits */

/* ---- states of prefixes (prefix.c) --------------------------------------------------------- */

/* What a sequence has read, shared by all who hold it, of any thread. */
typedef struct {
    atomic_int users;
    ssmc_checkpoint *checkpoint; /* owns */
    int64_t tokens;
    size_t bytes;
} State;
/* Of a sequence, `bytes` of memory; held once. spare: a checkpoint whose memory it may take, owned
 * by the call; NULL: none. NULL: no memory. */
State *state_take(const ssmc_session *session, int seq, size_t bytes, ssmc_checkpoint *spare);
State *state_hold(State *state);
void state_drop(State *state); /* NULL: nothing */

/* A tree of ids with states, within a budget of bytes. Belongs to one thread. */
typedef struct Prefixes Prefixes;
Prefixes *prefix_open(size_t budget); /* NULL: no memory */
void prefix_close(Prefixes *prefixes);
/* How many of ids [n] are a known path, and the state after the most of them: the tree's, until its
 * next change; NULL: there is none. */
int64_t prefix_find(Prefixes *prefixes, const int32_t *ids, int64_t n, State **state);
bool prefix_has(Prefixes *prefixes, const int32_t *ids,
                int64_t n); /* the state after all of them */
void prefix_learn(Prefixes *prefixes, const int32_t *ids, int64_t n); /* ids [n] are a known path */
void prefix_forget(Prefixes *prefixes, const int32_t *ids, int64_t n); /* unless it has states */
/* Keeps the state after the first state->tokens of ids, if there is none, and it is within the
 * budget; the states that were not used for longest go. */
void prefix_keep(Prefixes *prefixes, const int32_t *ids, State *state);
/* The checkpoint of a state that went last and nobody holds: the caller's; NULL: there is none. */
ssmc_checkpoint *prefix_spare(Prefixes *prefixes);
size_t prefix_bytes(const Prefixes *prefixes, size_t *states);

/* ---- states on the disk (spill.c) ---------------------------------------------------------- */

typedef struct Spill Spill;
typedef void SpillWake(void *user); /* from the disk's thread: a load has ended */
ssmc_status spill_open(const EngineOptions *options, SpillWake *wake, void *user, Spill **out);
void spill_close(Spill *spill); /* NULL: nothing. Loads that have not ended were abandoned */
/* The state after the first state->tokens of ids is written, unless others come too fast. */
void spill_put(Spill *spill, const int32_t *ids, State *state);
/* Asks for the state after the longest prefix of ids [n] that is longer than `above`. NULL: no
 * memory. */
Load *spill_load(Spill *spill, const int32_t *ids, int64_t n, int64_t above);
/* False: not yet. True: the load is gone, and *state, held, is what was there; NULL: nothing. */
bool spill_loaded(Spill *spill, Load *load, State **state);
void spill_abandon(Spill *spill, Load *load); /* its request has ended: the result is dropped */
void spill_count(Spill *spill, EngineCounts *counts);

/* ---- probabilities (logprob.c) ------------------------------------------------------------- */

/* The natural logarithm of the sum of exp(logits): logits less it are logarithms of probabilities.
 */
double logits_log_sum(const float *logits, int64_t vocab);
/* The n likeliest ids, likeliest first, of equal ones the lower first; how many there are. */
int logits_top(const float *logits, int64_t vocab, double log_sum, EngineRank *top, int n);

/* ---- the engine ---------------------------------------------------------------------------- */

/* Smoothed seconds of steps, which say how much of a prompt a step may read (step.c). */
typedef struct {
    double step;          /* that only draws */
    double piece, tokens; /* of pieces of prompts beside it: seconds and ids */
} Pace;

/* Logits of a step after one id, and what is made of them (rows.c). */
typedef struct {
    const Request *request;
    float *logits;     /* [vocab] */
    float *drawn_from; /* [vocab]: a copy, or the logits themselves; NULL: no id is drawn */
    double log_sum;
    EngineRank *top; /* [ntop] */
    int ntop;
    int32_t id;          /* drawn */
    const char *refused; /* why none could be; NULL */
} Row;

/* Memory of all rows of a step, as much as any step has had. */
typedef struct {
    int64_t count;
    Row *row;          /* owns */
    float *logits;     /* owns: [logits_cap,vocab] */
    float *copies;     /* owns: [copies_cap,vocab] */
    EngineRank *ranks; /* owns */
    int64_t row_cap, logits_cap, copies_cap, ranks_cap;
} Rows;

/* What one request is fed in a step. */
typedef struct {
    Request *request;
    int slot;
    int64_t count;  /* the next ids of its text */
    int64_t wanted; /* logits of so many of the last of them */
    float *logits;  /* [wanted,vocab] */
    Row *row;       /* [wanted] */
    int32_t id;     /* drawn after them, where no logits are wanted */
    bool last;      /* they end the text */
    bool draws;     /* an id is drawn after them */
    bool drew;      /* one was drawn, which is not the end */
    bool over;      /* the request ends: how, and where it failed why */
    EngineEnd end;
    const char *error;
} Portion;
bool request_draws(const Portion *portion); /* an id is drawn after it */

struct Engine {
    EngineOptions options; /* owns: eos */
    int64_t vocab, block;
    ssmc_session *session; /* sequence i is that of slot i */
    pthread_t thread;

    pthread_mutex_t lock;        /* of what is shared; never held while a step runs or a callback */
    pthread_cond_t work;         /* the thread has something to do */
    pthread_cond_t fewer;        /* a request has ended */
    Request *inbox, *inbox_last; /* submitted, and not in the queue yet */
    Request *newest;             /* of those that have not ended */
    EngineCounts counts;
    uint64_t handles;
    double finishing; /* smoothed seconds between the ends of two requests; 0: not known */
    double ended;     /* rt_now: when the last one ended */
    int idle_ones;    /* of those that run or wait */
    bool woken, draining, closing;

    /* The thread's own. */
    Queue ready, idle;
    uint64_t places;  /* slots that were given to requests */
    Request **slot;   /* owns: [slots]; NULL: free */
    Portion *portion; /* owns: [slots], of which nportions are of this step */
    int nportions;
    ssmc_turn *turn;   /* owns: [slots] */
    ssmc_input *input; /* owns: [slots] */
    Rows rows;
    Pace pace;
    Prefixes *prefixes;                  /* owns; NULL: no states are kept */
    Spill *spill;                        /* owns; NULL: none are on a disk */
    size_t state_bytes, token_bytes;     /* of a state, and of it for each of its ids */
    uint64_t read, ahead, drawn, cached; /* ids that are not in counts yet */
};

/* ---- logits of a step (rows.c) -------------------------------------------------------------- */

/* Which logits the step gives, and where. Without memory for them, those that want some have
 * failed, and false. */
bool rows_place(Engine *engine);
/* Probabilities and drawn ids of rows [count]. */
void rows_settle(Engine *engine, Row *row, int64_t count);
void rows_free(Rows *rows);

/* ---- states of requests (resume.c) --------------------------------------------------------- */

/* The request's sequence becomes that of the longest prefix that there is a state of; or what it
 * was when the request gave way. */
ssmc_status resume_begin(Engine *engine, Request *request, int slot);
/* Before the request gives its slot up: it keeps its state, or, without memory for it, reads its
 * text again. */
void resume_pause(Engine *engine, Request *request, int slot);
/* Where the request is to have been fed exactly, as its state is kept there: after what it has been
 * fed; INT64_MAX: nowhere. */
int64_t resume_stop(const Engine *engine, const Request *request);
/* Keeps the request's state: after it was fed, where it is worth it; and when it has ended. slot
 * -1: it has no state that is. */
void resume_fed(Engine *engine, const Request *request, int slot);
/* Requests that waited for a state, of the disk or another request, go on if it has come. */
void resume_waiting(Engine *engine);
bool resume_waits(const Request *request);
void resume_end(Engine *engine, Request *request, int slot);

/* ---- prompts that begin alike (follow.c) ---------------------------------------------------- */

/* A state is worth waiting for, or keeping where nobody marked it, where it saves so many ids. */
enum { FOLLOW_WORTH = 16 };
/* Whether the request is to wait for one that reads at least FOLLOW_WORTH of the first `most` ids
 * of its prompt, and has them still to read: the request's leader, follows. */
void follow_begin(Engine *engine, Request *request, int64_t most);
/* Where others wait for a request's state: next, and whether it is there. */
int64_t follow_stop(const Engine *engine, const Request *leader);
bool follow_is_at(const Engine *engine, const Request *leader);
/* The leader is as far, or has ended. */
bool follow_is_over(const Engine *engine, const Request *request);

/* ---- requests as they come (submit.c) ------------------------------------------------------- */

void request_drop(Request *request); /* with what it owns; NULL: nothing */
void engine_wake(Engine *engine);    /* under the lock: the thread has something to do */

/* Runs one step; false: no request could take part in one. */
bool step_run(Engine *engine);
/* Under the lock: what was read and drawn since the last call is counted. */
void engine_count(Engine *engine);
/* The request has ended, and its slot, if it had one, is free. */
void engine_end(Engine *engine, Request *request, EngineEnd end, const char *error);

#endif
