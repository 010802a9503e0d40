/* serve/serve.h -- the HTTP server: one model's answers over the dialect of OpenAI's API. */
#ifndef SSMC_SERVE_SERVE_H
#define SSMC_SERVE_SERVE_H

#include "chat/chat.h"
#include "serve/engine.h"
#include "tokenizer/tokenizer.h"

typedef struct {
    EngineOptions engine;
    const Tokenizer *tok;
    const ChatFormat *chat; /* NULL: chat requests are refused; no_chat says why */
    const char *no_chat;
    const char *name;            /* the model's, in /v1/models and in answers */
    const char *host;            /* to bind: an address */
    int port;                    /* 0: any; the one taken is in the first line of the log */
    const char *const *api_keys; /* [nkeys]; 0: none is asked for */
    int nkeys;
    const char *origin; /* that Access-Control-Allow-Origin names; NULL: none */
    const char *log;    /* file, opened again at SIGHUP; NULL: stderr */
    bool log_prompts;
    int64_t most;         /* ids of an answer, where a request names no number */
    size_t body;          /* bytes that a request's body may have */
    int connections;      /* open at the same time */
    double drain;         /* seconds that SIGTERM leaves to what runs */
    ssmc_sampling preset; /* where a request does not say */
} ServeOptions;
/* Serves until SIGTERM or SIGINT. An exit status; what went wrong is on stderr. */
int serve(const ServeOptions *options);

#endif
