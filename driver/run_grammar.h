/* driver/run_grammar.h -- private to driver/: --grammar and --json-schema of ssmc run. */
#ifndef SSMC_DRIVER_RUN_GRAMMAR_H
#define SSMC_DRIVER_RUN_GRAMMAR_H

#include "driver/driver.h"
#include "grammar/grammar.h"

/* What is generated goes along with the grammar; the prompt is not part of it. */
typedef struct {
    Grammar *grammar; /* NULL: none is asked for */
    GrammarVocab *vocab;
    GrammarMatch *match;
    const Job *job;
    const Tokenizer *tok;
    bool ends_by_id; /* ids that end a text may be drawn where it may end */
    int64_t size;    /* of the model's vocabulary */
    uint64_t *mask;  /* [(size + 63) / 64] */
    float *logits;   /* [size] */
    bool whole;      /* nothing more may come: no id was drawn */
    bool stuck;      /* no id of the vocabulary has the text that has to come */
} RunGrammar;

/* Reads and compiles what the options name, before any model is made; an exit status. */
int run_grammar_read(RunGrammar *g, const Options *o);
/* When the model is there, and its tokenizer. */
void run_grammar_open(RunGrammar *g, const Options *o, const Job *job, const Tokenizer *tok);
void run_grammar_close(RunGrammar *g);
/* Draws from logits [size] what the grammar allows; whole or stuck: nothing is drawn. */
int32_t run_grammar_draw(RunGrammar *g, ssmc_sampler *sampler);

#endif
