/* serve/request.h -- private to serve/: the body of a request, read by request_keys.def. It knows
 * neither HTTP nor the engine. */
#ifndef SSMC_SERVE_REQUEST_H
#define SSMC_SERVE_REQUEST_H

#include "ir/util.h"

struct json_object;

typedef enum {
#define REQUEST_KEY(id, name, kind, low, high, where, doc) REQ_##id,
#include "serve/request_keys.def"
#undef REQUEST_KEY
    REQ_COUNT
} RequestKey;

typedef enum {
    RK_FLAG,
    RK_INT,
    RK_NUM,
    RK_WORDS,
    RK_OBJECT,
    RK_ARRAY,
    RK_ANY,
    RK_NONE
} RequestKind;

typedef struct {
    const char *name;
    RequestKind kind;
    double low, high;
    const char *where, *doc;
} RequestKeyInfo;
extern const RequestKeyInfo request_key_info[REQ_COUNT];

/* What an endpoint's keys are marked with in the table. */
typedef enum {
    ENDPOINT_completions = 'c',
    ENDPOINT_chat = 'h',
    ENDPOINT_llama = 'l',
    ENDPOINT_infill = 'f',
    ENDPOINT_template = 'p',
    ENDPOINT_tokenize = 't',
    ENDPOINT_detokenize = 'd'
} Endpoint;

/* Why a request is refused, in the terms of OpenAI's errors. */
typedef struct {
    int status;        /* of HTTP; 0: nothing is wrong */
    const char *param; /* the key; NULL: none in particular */
    const char *code;  /* NULL: none */
    double retry;      /* seconds after which it is worth trying again; 0: not said */
    StrBuf message;
} Fault;
/* False, so that a check can return it. The first fault stays. */
bool fault_set(Fault *fault, int status, const char *param, const char *code, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

typedef struct {
    struct json_object *json; /* NULL: absent, or null */
    int64_t i;                /* FLAG, INT */
    double num;               /* NUM */
    const char *text;         /* WORDS: NUL-terminated; borrows json */
    size_t len;
} RequestValue;

typedef struct {
    int32_t id;
    float bias; /* -INFINITY: never */
} LogitBias;

enum { REQUEST_STOPS = 16, REQUEST_STOP_BYTES = 1024, REQUEST_BIASES = 1024, REQUEST_DEPTH = 64 };

typedef struct {
    struct json_object *body; /* owns */
    Endpoint endpoint;
    RequestValue value[REQ_COUNT];
    bool has_seed;
    uint64_t seed;
    const char *stop[REQUEST_STOPS]; /* [nstops] borrow body */
    size_t stop_len[REQUEST_STOPS];
    int nstops;
    LogitBias *bias; /* [nbias] owns */
    int nbias;
    int top; /* likeliest ids with each; -1: no probabilities */
    bool usage;
    struct json_object *schema; /* of the answer; borrows body; NULL: none */
    bool any_json;              /* the answer is any JSON object */
    bool tools;                 /* calls may be made */
    bool must_call;             /* one must be */
    bool one_call;              /* at most one may */
    const char *called;         /* of this tool; borrows body; NULL: of any */
} Body;

/* Reads a body of len bytes. False: fault says why. request_free in any case. */
bool request_read(Body *request, Endpoint endpoint, const char *body, size_t len, Fault *fault);
void request_free(Body *request);
bool request_has(const Body *request, RequestKey key);
/* Answers to each prompt that are given, and that are made: more, if the best are wanted. */
int64_t request_given(const Body *request);
int64_t request_made(const Body *request);

/* Ids of a JSON array, each 0 to vocab-1 (malloc'd). False: fault says which is not. */
bool request_ids(struct json_object *array, RequestKey key, int64_t vocab, int32_t **ids,
                 int64_t *count, Fault *fault);

#endif
