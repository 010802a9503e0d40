/* driver/run_text.h -- private to driver/: the text that ssmc run makes longer, and how much of it
 * the model has read. */
#ifndef SSMC_DRIVER_RUN_TEXT_H
#define SSMC_DRIVER_RUN_TEXT_H

#include "driver/run_grammar.h"

typedef struct {
    const Options *o;
    Job *job;
    ssmc_session *session; /* borrowed; sequence 0 reads the text */
    ssmc_cache *cache;     /* owns; NULL: none */
    RunGrammar *grammar;   /* borrowed; has none: ids are drawn freely */
    int32_t *ids;          /* [count]: what is known of the text, in the arena */
    int count, cap;
    int read;                /* of ids, by the model */
    int fed;                 /* of them, in this run: not taken from a file */
    int cached;              /* tokens taken from the cache */
    const char *cache_fault; /* the first of the cache, in the arena; NULL: none */
} RunText;

/* What the options say, before the model is made: --load-state, --save-state, --cache-dir and
 * --cache-limit that go together. */
int run_text_check(const Options *o);
/* Begins with what --load-state says, and opens the cache. A cache that cannot be used is a note:
 * the text is made without it. */
int run_text_open(RunText *text, const Options *o, Job *job, ssmc_session *session,
                  RunGrammar *grammar);
void run_text_close(RunText *text);

void run_text_add(RunText *text, int32_t id);
/* Reads the text to its end and draws *next, the id that goes on from there; from the cache what it
 * has, and to the cache what may be of use again. --save-state of a text that is not to be made
 * longer leaves its last token: a run that goes on from there draws after it. */
int run_text_read(RunText *text, ssmc_sampler *sampler, int32_t *next);
/* Reads one more token, and draws the next. */
ssmc_status run_text_step(RunText *text, ssmc_sampler *sampler, int32_t *next);
/* Writes what --save-state asks for. */
int run_text_save(const RunText *text);

#endif
