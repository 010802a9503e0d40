/* serve/answer.h -- private to serve/: what a request gets of the engine: one choice or several, of
 * one prompt or several, told in the dialect that was asked in. */
#ifndef SSMC_SERVE_ANSWER_H
#define SSMC_SERVE_ANSWER_H

#include "serve/server.h"

enum { PROMPT_MARKS = 3 };

typedef struct {
    int32_t *ids; /* owns */
    int64_t count;
    char *text; /* that an echo repeats; owns; NULL: none */
    size_t len;
    int64_t
        marks[PROMPT_MARKS]; /* [nmarks] ascending: a state is worth keeping behind so many ids */
    int nmarks;
    bool infill; /* it asks for the middle of a text */
} Prompt;

/* An id of the answer, or of an echoed prompt. */
typedef struct {
    int32_t id;
    float logprob;
    size_t at; /* where its text begins in Choice.raw */
    EngineRank *top;
    int ntop;
} Prob;

typedef struct {
    StrBuf name, arguments;
} Call;

typedef struct {
    Exchange *ex;
    Answer *answer;
    const Prompt *prompt;
    int index;
    uint64_t handle; /* 0: not with the engine yet */
    bool begun, ended;
    bool given; /* the client has it: of several, the best are given first */
    bool left;  /* the client has gone (set on the engine's thread) */
    TokText *text;
    GrammarMatch *match; /* NULL: any id may come */
    uint64_t *mask;      /* [vocab / 64 + 1] of the ids that may, where there is a match */
    bool over;           /* the grammar's text is whole, and no id says so */
    ChatParser *parser;  /* NULL: the text is the content */
    StrBuf raw;          /* the text, an echoed prompt first */
    size_t base;         /* where the drawn text begins */
    size_t passed;       /* bytes that no stop can begin in any more: they were told */
    int stop;            /* which of the answer's stops was found; -1: none */
    StrBuf content, reasoning;
    bool enough; /* it has the one call that it may have */
    Call *calls; /* [ncalls] */
    int ncalls;
    Prob *probs; /* [nprobs] */
    int nprobs, cap_probs;
    int ready, told;    /* of probs: whose text was passed, and those that are in an event */
    size_t counted;     /* bytes of raw, which are */
    int64_t chars;      /* so many characters */
    bool opened;        /* its first event was written */
    double first, last; /* rt_now of the first id, and of the one before */
    size_t line;        /* where the line that raw ends with begins */
    bool broken;        /* raw has a line feed */
    bool begins;        /* and behind the last one nothing but spaces and tabs */
    bool limited;       /* n_indent or t_max_predict_ms ended it */
    StrBuf ids; /* those that were not told, as a JSON list's items; where they are wanted */
    double sum; /* of the logarithms of its ids' probabilities, where the best are wanted */
    EngineResult result;
} Choice;

/* How answers are told. Each is called under the exchange's lock. */
typedef struct {
    const char *prefix, *object, *piece_object;
    /* Of a stream: an event with a piece, the last event of a choice, and what comes after all. */
    void (*piece)(Choice *choice, ChatKind kind, int call, const char *text, size_t len);
    void (*finish)(Choice *choice);
    void (*end)(Answer *answer);
    void (*whole)(Answer *answer, StrBuf *out); /* not a stream: all of it */
} Dialect;
extern const Dialect dialect_completions, dialect_chat, dialect_llama;

typedef struct {
    const char *text; /* borrows */
    size_t len;
} Stop;

struct Answer {
    Exchange *ex;
    const Dialect *dialect;
    Prompt *prompts;
    int nprompts, per; /* choices of each prompt */
    int given;         /* of them, those that the client gets */
    Choice *choices;
    int n, submitted, ended;
    char id[48];
    StrBuf head; /* of each event */
    ssmc_sampling sampling;
    int64_t most;
    Stop *stops; /* [nstops] owns */
    int nstops;
    size_t longest;
    const Grammar *grammar;    /* NULL: none */
    const GrammarVocab *words; /* that it is of */
    KeptGrammar *kept;         /* it is of this; NULL: it is the server's */
    bool ends;                 /* ids that end a text are looked at */
};

/* prompts: [n], taken over with what they own. Sends the first requests to the engine; false: the
 * exchange has a fault. */
bool answer_begin(Exchange *ex, const Dialect *dialect, Prompt *prompts, int n);
void prompts_free(Prompt *prompts, int n);
/* Ids that the request wants drawn at most. */
int64_t answer_most(const Exchange *ex);
/* On the connection's thread, whenever it is awake: sends what can be sent now, and makes a
 * response of an answer that is there. */
void answer_pump(Exchange *ex);
/* The connection is through with it. told: the client has the whole answer. */
void answer_leave(Exchange *ex, bool told);
void answer_free(Answer *answer);
void answer_log(const Answer *answer, StrBuf *out);

/* ---- choices (choice.c) ------------------------------------------------------------------------
 */

void choice_open(Choice *choice, Answer *answer, int index);
void choice_free(Choice *choice);
/* Gives it to the engine; what comes of that is not a fault yet. */
EngineAnswer choice_submit(Choice *choice, double *retry);
const char *choice_finish(const Choice *choice); /* OpenAI's finish_reason */

/* ---- events ------------------------------------------------------------------------------------
 */

/* The pieces of usage: ids of prompts, those of them that were not read, and drawn ones. */
typedef struct {
    int64_t prompt, cached, drawn;
} Usage;
Usage answer_usage(const Answer *answer);
void usage_put(const Answer *answer, StrBuf *out);
void put_id(StrBuf *out, const char *prefix, const Exchange *ex, int part);
/* Bytes of an id as text: as they are, or where they are no UTF-8 "bytes:\xe2\x82". */
void put_token(StrBuf *out, const Server *server, int32_t id);
/* "[226,130]" */
void put_token_bytes(StrBuf *out, const Server *server, int32_t id);
/* Probabilities that are ready and not told: a list of objects, or an object of lists. */
void put_prob_list(Choice *choice, StrBuf *out, bool with_ids);
void put_prob_lists(Choice *choice, StrBuf *out);
void event_end(StrBuf *out);                       /* closes the object that head opened */
void put_usage_event(Answer *answer, StrBuf *out); /* if it is wanted; and that no more comes */
void put_whole_head(const Answer *answer, StrBuf *out); /* of a response that is no stream */

/* The conversation as the next turn will begin is read while nothing else runs. (next.c) */
void next_turn_later(Exchange *ex);

#endif
