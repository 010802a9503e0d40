/* tests/engine_run.h -- requests to an engine, and what comes of each. Whatever fails aborts with a
 * message. */
#ifndef SSMC_TESTS_ENGINE_RUN_H
#define SSMC_TESTS_ENGINE_RUN_H

#include <pthread.h>

#include "serve/engine.h"
#include "tests/model_run.h"

enum { MOST = 512, TOP = 3 };

/* A request and what came of it; of its ids the first MOST. */
typedef struct {
    EngineRequest asked;
    int32_t prompt[MOST], id[MOST];
    int64_t index[MOST];
    float logprob[MOST];
    EngineRank top[MOST][TOP];
    int got, enough; /* enough: ids after which it has them; 0: never */
    int holds;       /* when it has so many, the engine waits until asked_release; 0: never */
    bool gone, ended;
    EngineResult result;
    char error[128];
    pthread_mutex_t lock;
    pthread_cond_t change;
    int *order, place; /* which end it was, of all that share `order` */
} Asked;

/* run NULL: the caller writes the prompt.
 * A prompt of `count` made-up ids, different for each `kind`, and at most `most` ids after it:
 * greedily, without probabilities, whatever ends a text. */
Asked *asked_new(const ModelRun *run, int kind, int64_t count, int64_t most);
void asked_free(Asked *asked);
void asked_wait(Asked *asked, int got); /* until it has so many ids, or has ended */
void asked_end(Asked *asked);           /* until it has ended */
void asked_leave(Asked *asked);         /* from now on nobody wants its answer */
void asked_release(Asked *asked);

/* What is 0 in options becomes a small number. run NULL: they have a model. */
Engine *engine_of(const ModelRun *run, EngineOptions options);
uint64_t engine_take(Engine *engine, Asked *asked); /* submits; dies where it is not taken */

#endif
