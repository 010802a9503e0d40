/* serve/engine.h -- continuous batching: requests wait in a fair queue, get a slot, and share the
 * steps of one session. A step feeds each running request its next token and, beside them, a
 * bounded piece of the prompts that are being read. States of prefixes are kept in a tree, so that
 * a prompt which begins like an earlier one is read from there on.
 *
 * The engine's own thread does all of it; calls here may come from any thread. What a request gets
 * does not depend on what runs beside it, nor (where the model's bits do not depend on how a text
 * is split into calls) on what the tree has. */
#ifndef SSMC_SERVE_ENGINE_H
#define SSMC_SERVE_ENGINE_H

#include "runtime/rt.h"

typedef struct Engine Engine;

typedef struct {
    const ssmc_model *model;
    const int32_t *eos; /* [neos] ids that end a text; borrows */
    size_t neos;
    int slots, threads;    /* requests that run at the same time; threads as of ssmc_session_open */
    int64_t room;          /* tokens that a request can hold, prompt and answer */
    int waiting;           /* requests that may wait for a slot; one more is refused */
    double latency;        /* seconds: pieces of prompts are as long as keeps a step below it */
    size_t prefix_bytes;   /* memory for states of prefixes; 0: none are kept */
    const char *cache_dir; /* where they are written to as well, and found after a restart; NULL */
    uint64_t cache_limit;  /* bytes there */
    void (*stepped)(void *user); /* called after each step; NULL: no call */
    void *user;
} EngineOptions;

/* Memory that slots and context take is ssmc_program_memory's, before anything is taken. */
ssmc_status engine_open(const EngineOptions *options, Engine **out);
/* From now on requests are refused; returns when those that are here have ended, or after `seconds`
 * (then the rest is ended, as cancelled). */
void engine_drain(Engine *engine, double seconds);
/* Ends whatever runs, as cancelled. */
void engine_close(Engine *engine);

/* An id and the natural logarithm of its probability by the model alone: temperature 1, before
 * filters, masks and penalties. */
typedef struct {
    int32_t id;
    float logprob;
} EngineRank;

typedef struct {
    int32_t id;
    int64_t index;         /* of the text: prompt's ids, when they are asked for, then drawn ones */
    float logprob;         /* NAN: not asked for, or the first id of a prompt, which has none */
    const EngineRank *top; /* [ntop], likeliest first; borrows, until the call returns */
    int ntop;
} EngineToken;

typedef enum {
    ENGINE_eos,       /* an id of eos was drawn: it is not told */
    ENGINE_length,    /* `most` are drawn, or there is no room for more */
    ENGINE_enough,    /* token() said so */
    ENGINE_cancelled, /* engine_cancel, gone(), or the engine was closed */
    ENGINE_failed     /* error says why: the request alone, never the engine */
} EngineEnd;

typedef struct {
    EngineEnd end;
    const char *error; /* NULL unless failed; borrows, until the call returns */
    int64_t prompt;    /* ids of the prompt */
    int64_t cached;    /* of them, those that were not read as a state was there */
    int64_t drawn;
    double waited, first, seconds; /* in the queue; to the first id; all of it: from submit on */
} EngineResult;

/* What is asked for. The functions are called on threads of the engine, one at a time for one
 * request but several at the same time for several, and must not wait: what they take, all requests
 * wait for. */
typedef struct {
    const char *client; /* the queue is fair between clients: key or address; NULL: of none */
    const int32_t *ids; /* [count] the prompt, at least 1; copied, as marks are */
    int64_t count;
    const int64_t *marks; /* [nmarks] ascending: where a state is worth keeping, such as the end of
                           * a system prompt. The ends of prompt and answer are kept anyway */
    int nmarks;
    bool passing; /* its states are kept in memory alone, never on the disk */
    ssmc_sampling sampling;
    int64_t most; /* ids to draw at most; 0: the prompt is read, and its state kept */
    bool ignore_eos;
    bool idle;       /* waits until nothing else runs or waits, and gives way to it */
    int top;         /* -1: no probabilities; else so many of the likeliest with each id */
    bool prompt_too; /* the prompt's ids are told first, with their probabilities */
    /* Changes logits [vocab] before an id is drawn from them (a mask, a bias). NULL: nobody. False:
     * the request ends as failed, *why says it. */
    bool (*shape)(void *user, float *logits, int64_t vocab, const char **why);
    bool (*token)(void *user, const EngineToken *token); /* false: enough */
    bool (*gone)(void *user); /* asked before each step: nobody wants the answer any more; NULL */
    void (*end)(void *user, const EngineResult *result); /* once, last of all */
    void *user;
} EngineRequest;

typedef enum {
    ENGINE_taken,
    ENGINE_full, /* as many wait as may: *retry, seconds, says when it is worth trying */
    ENGINE_draining,
    ENGINE_too_long, /* prompt and one id have no room */
    ENGINE_bad_id    /* an id that the model has not */
} EngineAnswer;
/* *handle: for engine_cancel; never 0. end() comes if, and only if, the answer is taken. */
EngineAnswer engine_submit(Engine *engine, const EngineRequest *request, uint64_t *handle,
                           double *retry);
void engine_cancel(Engine *engine, uint64_t handle); /* one that has ended: nothing */

/* Counts since the start, and what is now. */
typedef struct {
    int slots, running, waiting;
    uint64_t requests, refused, cancelled, failed;
    uint64_t steps, prompt_read, prompt_cached, drawn; /* ids */
    uint64_t ahead;                                    /* ids read by requests that are idle */
    double busy;                                       /* seconds in which steps ran */
    size_t prefix_bytes, prefix_states;
    uint64_t spilled, loaded; /* states: to cache_dir, from there */
    uint64_t cache_faults;    /* of cache_dir: requests go on without */
    const char *cache_fault;  /* the first of them; NULL: none. Borrows, until the engine closes */
} EngineCounts;
EngineCounts engine_counts(Engine *engine);

#endif
