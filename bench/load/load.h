/* bench/load/load.h -- ssmc_load: many clients of a server on this machine, by one thread. What is
 * asked for is a list of distinct requests. Each is asked for once alone; then clients ask for them
 * at the same time, and each answer must be the one that was made alone. */
#ifndef SSMC_BENCH_LOAD_H
#define SSMC_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *data; /* owns */
    size_t len, room;
} Bytes;
void bytes_add(Bytes *bytes, const char *data, size_t len);

typedef struct {
    const char *host; /* 127.0.0.1 or ::1 */
    int port;
    const char *key;  /* API key; NULL: none */
    const char *text; /* [text_len] that prompts are pieces of */
    size_t text_len;
    bool chat;   /* /v1/chat/completions; else /v1/completions */
    bool greedy; /* all of them; else every second has temperature 0.8 and a seed */
    struct json_object
        *schemas;    /* a list of JSON schemas, which requests take in turn; NULL: none */
    bool ignore_eos; /* answers have as many tokens as they may have */
    int distinct;    /* requests */
    int prompt[2];   /* characters: least, most */
    int tokens[2];   /* of an answer: least, most */
    uint64_t seed;
    int clients;
    double seconds;
    int pid; /* of the server, whose memory is looked at; 0: none */
} LoadOptions;

/* ---- requests.c ---- */

/* What came of a request. */
typedef struct {
    Bytes text; /* as the JSON strings of the stream's events have it, put together */
    char finish[16];
    int64_t prompt, cached, drawn; /* usage */
    int status;                    /* of HTTP; 0: the connection failed */
    bool complete;                 /* the stream came to its end */
} Answer;
void answer_clear(Answer *answer);

typedef struct {
    char *bytes; /* the HTTP request; owns */
    size_t len;
    Answer alone;
} Ask;
/* [options->distinct]; owns. */
Ask *asks_make(const LoadOptions *options);
void asks_free(Ask *asks, int count);
/* Of those that requests take in turn. */
struct json_object *ask_schema(const LoadOptions *options, int index);

/* ---- reply.c ---- */

/* Reads a reply of HTTP/1.1 piece by piece, and the events in its body. */
typedef struct {
    enum {
        REPLY_head,
        REPLY_length,
        REPLY_size,
        REPLY_data,
        REPLY_gap,
        REPLY_trailer,
        REPLY_done,
        REPLY_broken
    } state;
    uint64_t left; /* of the body, or of its chunk */
    bool closing;  /* the server closes the connection after it */
    double retry;  /* seconds, of Retry-After */
    Bytes line;    /* a line of the head that is not whole yet */
    Bytes event;   /* a line of the body that is not whole yet */
    bool chat;
    Answer answer;
    int fresh; /* events with text among the bytes that were taken last */
} Reply;
void reply_begin(Reply *reply, bool chat);
/* Bytes of `data` that belong to the reply. */
size_t reply_take(Reply *reply, const char *data, size_t len);
void reply_free(Reply *reply);

/* ---- times.c ---- */

/* Times in buckets of 1 %, from a microsecond on. */
enum { TIMES_STEPS = 64, TIMES_BUCKETS = 32 * TIMES_STEPS };
typedef struct {
    uint64_t count, buckets[TIMES_BUCKETS];
} Times;
void times_add(Times *times, double seconds);
/* The time that `share` of them are not above; NAN: there are none. */
double times_at(const Times *times, double share);
double clock_now(void);
/* Bytes of memory that a process has; -1: not known. */
int64_t resident(int pid);

/* ---- clients.c ---- */

typedef struct {
    uint64_t requests, complete, equal, refused,
        failed; /* refused: 429 or 503; they are asked again */
    int64_t prompt, cached, drawn;
    double seconds; /* from the first request to the last byte */
    Times first, between, whole;
    char fault[400]; /* the first answer that differed or failed, and how */
} LoadResult;
/* Each of the requests once, one after the other; false: result->fault. */
bool load_alone(const LoadOptions *options, Ask *asks, LoadResult *result);
void load_together(const LoadOptions *options, Ask *asks, LoadResult *result);

#endif
