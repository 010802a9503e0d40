/* ssmc.h -- running compiled state-space language models.
 *
 * A model (program + weights) is read-only and may be shared by threads; a session holds the states
 * of a batch of independent sequences and belongs to one thread at a time. Every function that can
 * fail returns a status; none prints or exits. NULL where it is not named as possible, or a count
 * that cannot be, is SSMC_BAD_ARGUMENT. Tokens may be fed in any number of calls: state carries
 * over, and a prompt in pieces gives what the whole prompt gives (to rounding; to the bit when the
 * model was compiled reproducible). The run path (feed, prefill, step) allocates nothing.
 * Models compute with denormal numbers taken as 0 and rounding to nearest, whatever the mode of the
 * calling thread's arithmetic, which is as it was when a call returns and while it calls back.
 *
 * After fork() the child may use and close every model and session that it inherited, and open
 * others; but a session of more than one thread has its threads in the parent, and feeding it
 * (feed, prefill, step) is SSMC_BAD_ARGUMENT in the child. No other thread may be inside a call of
 * this library at the time of the fork.
 *
 * A model that was compiled for a GPU runs on the first that CUDA shows (CUDA_VISIBLE_DEVICES), by
 * its driver, libcuda.so.1, or what SSMC_CUDA_LIBRARY of the environment names. Its sessions keep
 * their states there, and are what sessions are elsewhere: states are saved, loaded, forked and
 * rewound, and a file that was saved on one device can be loaded on the other. Where there is no
 * driver, no GPU, or one that is too old, opening it is SSMC_UNSUPPORTED. In the child of a fork()
 * such models and sessions can be closed, and nothing else (SSMC_BAD_ARGUMENT).
 *
 * A model whose projections call OpenBLAS (compiled with --matmul blas) loads a copy of
 * libopenblas.so.0 of its own (dlmopen) when it is opened, and closes it when the last such model
 * is closed. An OpenBLAS that the program itself uses is another copy, and keeps its number of
 * threads.
 */
#ifndef SSMC_H
#define SSMC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    SSMC_OK = 0,
    SSMC_BAD_ARGUMENT, /* a caller's fault: an id out of range, an empty prompt, no such sequence */
    SSMC_BAD_FILE,     /* a file's content is not what it must be */
    SSMC_IO,           /* the system could not open, read, map or write */
    SSMC_NO_MEMORY,
    SSMC_UNSUPPORTED, /* this machine or process lacks what the model needs, such as OpenBLAS */
    SSMC_FULL,        /* a sequence has no room for that many tokens */
    SSMC_LOST         /* a GPU failed while it ran: what was in its memory is gone. Close the models
                       * that are on it, and open them again */
} ssmc_status;

typedef struct ssmc_program ssmc_program; /* compiled model without weights */
typedef struct ssmc_weights ssmc_weights; /* mapped or made weights */
typedef struct ssmc_model ssmc_model;     /* program + weights, ready to run */
typedef struct ssmc_session ssmc_session; /* states and buffers of a batch of sequences */

/* Tokens that each sequence of a session can hold that was opened without a number of its own. */
enum { SSMC_ROOM = 131072 };

/* What went wrong in the newest call of this thread that did not return SSMC_OK; never NULL. */
const char *ssmc_error(void);

typedef struct {
    size_t weights; /* of the checkpoint; they pass through memory while parameters are made */
    size_t kept;    /* of them, what kernels read as it is, and what therefore stays */
    size_t params;  /* packed and folded weights, made at load, shared by all sessions */
    size_t state;   /* per sequence */
    size_t scratch; /* activations, scratch of threads and the like, of one session */
    size_t total;   /* kept + params + sequences * state + scratch; SIZE_MAX: too much to count */
    int64_t block;  /* most tokens of a pass: prompts of any length take no more memory */
    size_t token;   /* growing states (keys, values): what each token of a sequence adds; 0: none */
    size_t full;    /* of one sequence of SSMC_ROOM tokens; windows make it less than all of them */
    size_t device; /* of total: in the memory of a GPU, where growing states are, too; 0: none is */
} ssmc_memory;

/* Memory that a model with one session of `sequences` sequences over `threads` threads takes,
 * before anything is taken. Its pages are resident once they have been used: the total is the peak.
 * Growing states are not in it: they take memory as tokens are read (in steps of 64 tokens, and of
 * 2 MiB where a state is large; on a GPU of 2 MiB, and of all their room where it maps none). */
ssmc_memory ssmc_program_memory(const ssmc_program *program, int sequences, int threads);

/* Called now and then by the thread that waits for long work: `done` of `total` pieces are. */
typedef void ssmc_progress(void *user, int64_t done, int64_t total);

/* Binds weights to a program and makes the packed parameters on `threads` threads (0: all cores).
 * progress may be NULL. The model borrows program and weights: they must outlive it. */
ssmc_status ssmc_model_open(const ssmc_program *program, const ssmc_weights *weights, int threads,
                            ssmc_progress *progress, void *user, ssmc_model **out);
void ssmc_model_close(ssmc_model *model);
int64_t ssmc_model_vocab(const ssmc_model *model); /* -1: model is NULL */
/* What the model runs on: "CPU", or the name of a GPU. Lives as long as the model. NULL: model is.
 */
const char *ssmc_model_device(const ssmc_model *model);
/* Why the cache of packed weights could not be read or written when the model was opened: the model
 * works, and the next start packs again. NULL: nothing went wrong. Lives as long as the model. */
const char *ssmc_model_warning(const ssmc_model *model);

/* A model that `ssmc compile --emit so|lib` made; the header it writes declares it. */
typedef struct ssmc_compiled ssmc_compiled;
/* Zero-initialise, then set what is wanted. */
typedef struct {
    const char *weights;    /* checkpoint; NULL: the embedded weights, or the one compiled for */
    const char *variant;    /* CPU whose code runs; NULL: $SSMC_VARIANT, else the best that can */
    const char *pack_cache; /* directory that keeps packed weights for the next start, or NULL; it
                             * is made where it is not there, and what fails with it is no failure
                             * but ssmc_model_warning */
    int threads;            /* that pack weights; 0: all cores */
    ssmc_progress *progress;
    void *user;
} ssmc_opening;
/* how NULL: all as preset. ssmc_model_close frees what it took. */
ssmc_status ssmc_compiled_open(const ssmc_compiled *compiled, const ssmc_opening *how,
                               ssmc_model **out);
/* Memory, before anything is taken. variant as in ssmc_opening. */
ssmc_status ssmc_compiled_memory(const ssmc_compiled *compiled, const char *variant, int sequences,
                                 int threads, ssmc_memory *out);
/* The text of its tokenizer.json; NULL: it has none. */
const char *ssmc_compiled_tokenizer(const ssmc_compiled *compiled, size_t *bytes);
/* The ids that end a text, *count of them, which may be 0. They live as long as the model's code. A
 * model of another version of the runtime has none. */
const int32_t *ssmc_compiled_eos(const ssmc_compiled *compiled, size_t *count);

/* A compiled model in a library that `ssmc compile --emit so` made, opened while the program runs.
 */
typedef struct ssmc_library ssmc_library;
/* path: of a file; nothing is searched for. Opening runs a library's code: open only what you
 * trust. */
ssmc_status ssmc_library_open(const char *path, ssmc_library **out);
/* Lives as long as the library. */
const ssmc_compiled *ssmc_library_compiled(const ssmc_library *library);
void ssmc_library_close(ssmc_library *library); /* after its models are closed; NULL: nothing */

/* Sessions start with every state zero. sequences: at least 1. threads: 0 for all cores. */
ssmc_status ssmc_session_open(const ssmc_model *model, int sequences, int threads,
                              ssmc_session **out);
/* ssmc_session_open, which takes SSMC_ROOM, with the tokens that each sequence can hold: at least
 * 1, and rounded up to a multiple of 64. It matters to models with growing states, such as keys and
 * values, alone: address space for all of it is reserved, and memory taken as tokens are read. */
ssmc_status ssmc_session_open_for(const ssmc_model *model, int sequences, int threads, int64_t room,
                                  ssmc_session **out);
/* Tokens that each sequence can hold; INT64_MAX: any number. -1: session is NULL. */
int64_t ssmc_room(const ssmc_session *session);
void ssmc_session_close(ssmc_session *session);
/* Forgets everything sequence `seq` has read. */
ssmc_status ssmc_reset(ssmc_session *session, int seq);
/* Tokens that sequence `seq` has read; -1: there is no such sequence. */
int64_t ssmc_tokens(const ssmc_session *session, int seq);

/* Called between passes of a call that feeds some sequence more than one token, with the tokens
 * done so far. */
void ssmc_session_on_progress(ssmc_session *session, ssmc_progress *call, void *user);

/* What one sequence is fed in a call. */
typedef struct {
    int seq;
    const int32_t *ids; /* [count] */
    int64_t count;      /* at least 1 */
    int64_t wanted;     /* logits of so many of the last tokens: 0 to count */
    float *logits;      /* [wanted,vocab] */
} ssmc_input;

/* Feeds n >= 1 different sequences, each any number of ids: prompts of different lengths and single
 * steps mixed, without padding. What a sequence gets is, bit for bit, what it would get if it were
 * fed its ids alone, whatever is beside it and over however many threads. Nothing is changed when
 * an input is refused: an id outside 0 .. vocab-1, no such sequence, a sequence named twice, more
 * tokens than a sequence has room for (SSMC_FULL). */
ssmc_status ssmc_feed(ssmc_session *session, const ssmc_input *inputs, int n);

/* ssmc_feed of one sequence. logits: [vocab] floats of the last token, or NULL. */
ssmc_status ssmc_prefill(ssmc_session *session, int seq, const int32_t *ids, int64_t n,
                         float *logits);
/* ssmc_prefill with logits of every token: logits [n, vocab]. */
ssmc_status ssmc_prefill_all(ssmc_session *session, int seq, const int32_t *ids, int64_t n,
                             float *logits);
/* ssmc_feed of one id for each of n different sequences seqs[i]: logits [n, vocab], or NULL. */
ssmc_status ssmc_step(ssmc_session *session, const int *seqs, const int32_t *ids, int n,
                      float *logits);

/* ---- states as values ------------------------------------------------------------------------
 * What a sequence has read is its state, a value of fixed size or, where the model has growing
 * states, of a size for each token: it can be copied, kept, written to a file and taken up again,
 * by this session or another of the same model. A session with too little room for it refuses it
 * with SSMC_FULL. */

/* Sequence `to` becomes what `from` is. */
ssmc_status ssmc_fork(ssmc_session *session, int from, int to);

typedef struct ssmc_checkpoint ssmc_checkpoint;
/* Keeps what a sequence is now: ssmc_memory.state bytes, and .token for each token that it has read
 * (of a window: that is in it). */
ssmc_status ssmc_checkpoint_take(const ssmc_session *session, int seq, ssmc_checkpoint **out);
/* Sequence `seq` of any session of the same model becomes what was kept, as often as wanted. */
ssmc_status ssmc_rewind(ssmc_session *session, int seq, const ssmc_checkpoint *checkpoint);
void ssmc_checkpoint_drop(ssmc_checkpoint *checkpoint); /* before its model is closed */

/* Writes a sequence's state to a file, whole or not at all. note: any bytes that should come back
 * with it (ids, a text), or NULL. The format is runtime/state.def: versioned, little-endian, with a
 * checksum and the identity of the model, which is that of its description and of its weights'
 * content (so the first call reads every weight) and does not depend on how it was compiled. */
ssmc_status ssmc_state_save(const ssmc_session *session, int seq, const char *path,
                            const void *note, size_t note_bytes);
/* The sequence becomes what was saved, or stays as it is where the file is damaged, of another
 * version, or of another model or numerics (SSMC_BAD_FILE). *note: free() it; note may be NULL. */
ssmc_status ssmc_state_load(ssmc_session *session, int seq, const char *path, void **note,
                            size_t *note_bytes);

/* States of prompts in a directory, for prompts that begin alike. Any number of processes may share
 * it; a process that is killed leaves nothing half written under a name that counts. Files of
 * another version of the format have other names and are left alone. No failure of a cache touches
 * the session: the caller can go on without. */
typedef struct ssmc_cache ssmc_cache;
/* dir is made when it is not there. limit: bytes of all states together; past it, those that were
 * not used for longest are dropped. */
ssmc_status ssmc_cache_open(const char *dir, uint64_t limit, ssmc_cache **out);
void ssmc_cache_close(ssmc_cache *cache);
/* Sequence seq becomes what it is after the longest prefix of ids [n] that the cache has for this
 * model, of *taken tokens; none: *taken is 0 and the sequence is as it was. Where a file cannot be
 * read or is damaged (then it is removed) the next shorter prefix serves, and the status says what
 * was wrong: *taken counts all the same. */
ssmc_status ssmc_cache_take(const ssmc_cache *cache, ssmc_session *session, int seq,
                            const int32_t *ids, int64_t n, int64_t *taken);
/* Keeps the state of a sequence, which has read exactly ids [n]. */
ssmc_status ssmc_cache_put(const ssmc_cache *cache, const ssmc_session *session, int seq,
                           const int32_t *ids, int64_t n);

/* ---- drawing ids ------------------------------------------------------------------------------
 * Drawing the next id. Zero-initialise, then set what is wanted; the order of the filters is
 * penalties, temperature, top-k, top-p, min-p. */
typedef struct {
    double temperature; /* 0: greedy (the first of equal logits) */
    int top_k;          /* 0: off */
    double top_p;       /* 0 or 1: off */
    double min_p;       /* 0: off; keeps ids at least min_p times as likely as the likeliest */
    double
        repeat_penalty; /* 0 or 1: off; divides positive, multiplies negative logits of seen ids */
    /* What is taken from the logits of ids that this sampler has drawn: once, and for each time
     * (OpenAI's API reference: logit - presence * (times > 0) - frequency * times). 0: off. */
    double presence_penalty, frequency_penalty;
    uint64_t seed;
} ssmc_sampling;

typedef struct ssmc_sampler ssmc_sampler;
ssmc_status ssmc_sampler_open(const ssmc_sampling *how, int64_t vocab, ssmc_sampler **out);
void ssmc_sampler_close(ssmc_sampler *sampler);
/* Marks an id as seen, for the repetition penalty. */
void ssmc_sampler_see(ssmc_sampler *sampler, int32_t id);
/* Draws from logits [vocab], which it may change. Marks the drawn id as seen. Ids whose logit is
 * minus infinity are not drawn where another has a number. -1: sampler or logits are NULL. */
int32_t ssmc_sample(ssmc_sampler *sampler, float *logits);

/* What one sequence is fed in a call, and what its next id is drawn by. */
typedef struct {
    int seq;
    const int32_t *ids;    /* [count] */
    int64_t count;         /* at least 1 */
    ssmc_sampler *sampler; /* for the model's vocabulary; NULL: no id is drawn */
    int32_t id;            /* what is drawn; ids may point to it where count is 1 */
} ssmc_turn;

/* ssmc_feed of n >= 1 different sequences, and for each the id that ssmc_sample would draw from the
 * logits of its last token: that very id, on every device. Logits of a GPU stay there where the
 * likeliest few settle the draw: greedy ones, those with a top-k below 64, or with min-p and no
 * top-p, as a rule, and with a repetition penalty of 1 or more. All others need all logits, and get
 * them. Turns may share a sampler, which then draws for them in the order of turns where all have
 * one id. A call that fails may have drawn for some of the sequences. */
ssmc_status ssmc_draw(ssmc_session *session, ssmc_turn *turns, int n);

/* Feeds ids[i] to sequence seqs[i], n >= 1 different ones, and goes on greedily: out [n,count] are
 * the `count` >= 1 ids that come next, of which all but the last are fed. They are those of
 * ssmc_draw by greedy samplers, step by step; on a GPU a step begins as the one before ends,
 * without the host between them. Ids that end a text are ids like others. Nothing changes where one
 * of the sequences has no room for count tokens (SSMC_FULL). */
ssmc_status ssmc_greedy(ssmc_session *session, const int *seqs, const int32_t *ids, int n,
                        int64_t count, int32_t *out);

#ifdef __cplusplus
}
#endif
#endif
