/* driver/run_grammar.c -- ids that a grammar does not allow are never drawn. */
#include "driver/run_grammar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int
run_grammar_read(RunGrammar *g, const Options *o)
{
    enum { MAX_TEXT = 1 << 24 };
    const char *gbnf = opt_text(o, OPT_grammar), *schema = opt_text(o, OPT_json_schema);
    const char *path = gbnf ? gbnf : schema, *why = NULL;
    char *text = NULL, *fault_text = NULL;
    size_t len = 0;
    *g = (RunGrammar){0};
    if (gbnf && schema)
        return option_fault(o, OPT_json_schema,
                            "--grammar and --json-schema both say what the text is: give one");
    if (!path)
        return EXIT_DONE;
    if (!file_read(o->arena, path, MAX_TEXT, &text, &len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    g->grammar = gbnf ? grammar_read_gbnf(path, text, len, &fault_text)
                      : grammar_read_schema(path, text, len, &fault_text);
    if (g->grammar)
        return EXIT_DONE;
    fputs(fault_text, stderr);
    free(fault_text);
    return EXIT_BAD_INPUT;
}

/* Added tokens stand for no text: what they are called is text that other ids can spell. */
static const char *
bytes_of(void *user, int32_t id, size_t *len)
{
    const RunGrammar *g = user;
    if (tok_is_added(g->tok, id) || ids_have(g->job->eos, g->job->neos, id))
        return NULL;
    return tok_decode(g->tok, id, len);
}

void
run_grammar_open(RunGrammar *g, const Options *o, const Job *job, const Tokenizer *tok)
{
    if (!g->grammar)
        return;
    g->job = job;
    g->tok = tok;
    g->ends_by_id = !opt_given(o, OPT_ignore_eos);
    g->size = ssmc_model_vocab(job->model);
    g->mask = arena_array(job->arena, ((size_t)g->size + 63) / 64, sizeof *g->mask);
    g->logits = arena_array(job->arena, (size_t)g->size, sizeof *g->logits);
    g->vocab = grammar_vocab_new(g->size, bytes_of, g);
    g->match = grammar_match_new(g->grammar, g->vocab);
}

void
run_grammar_close(RunGrammar *g)
{
    grammar_match_free(g->match);
    grammar_vocab_free(g->vocab);
    grammar_free(g->grammar);
    *g = (RunGrammar){0};
}

static bool
is_allowed(const RunGrammar *g, int64_t id)
{
    return g->mask[id / 64] >> (id % 64) & 1;
}

int32_t
run_grammar_draw(RunGrammar *g, ssmc_sampler *sampler)
{
    bool may_end = false, any = false;
    g->stuck = !grammar_match_mask(g->match, g->mask, &may_end);
    for (int64_t id = 0; id < g->size; id++)
        any |= is_allowed(g, id);
    g->whole = may_end && !any;
    if (g->stuck || g->whole)
        return -1;
    for (size_t i = 0; i < g->job->neos && may_end && g->ends_by_id; i++) {
        const int32_t id = g->job->eos[i];
        if (id >= 0 && id < g->size)
            g->mask[id / 64] |= UINT64_C(1) << (id % 64);
    }
    for (int64_t id = 0; id < g->size; id++)
        g->logits[id] = is_allowed(g, id) ? g->logits[id] : -INFINITY;
    const int32_t id = ssmc_sample(sampler, g->logits);
    const bool ends = ids_have(g->job->eos, g->job->neos, id) && is_allowed(g, id);
    g->stuck =
        id < 0 || (!ends && !grammar_match_take(g->match, id)); /* logits that are no numbers */
    return id;
}
