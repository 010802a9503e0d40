/* tests/threads/main.c -- ssmc_threads MODEL: four threads share one model, each with sessions of
 * its own, one cache directory and one state file, then an engine, then grammars. What they compute
 * is what one thread computes.
 * Run by the tests as it is, and in a build of the tsan preset by tests/run.sh. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/harness.h"
#include "tests/model_run.h"
#include "tests/threads/engine.h"
#include "tests/threads/grammar.h"

enum { THREADS = 4, ROUNDS = 4, SEQUENCES = 17, LAST = SEQUENCES - 1, LONGEST = 300 };

typedef struct {
    ModelRun *run;
    int64_t vocab;
    ssmc_cache *cache;
    char *path; /* of the state file that all write and read */
    int32_t ids[SEQUENCES][LONGEST];
    float *logits;  /* [SEQUENCES,vocab]: of the last token, each sequence alone */
    float *stepped; /* [vocab]: the last sequence token by token */
} Shared;

typedef struct {
    const Shared *shared;
    int number;
    ssmc_session *s;
    float *logits; /* [SEQUENCES,vocab] */
} Server;

static void
must(ssmc_status status, const char *what)
{
    if (status != SSMC_OK)
        die("%s: %s", what, ssmc_error());
}

static void
expect(const Shared *x, const float *logits, int seq, const char *what)
{
    if (memcmp(logits, x->logits + seq * x->vocab, (size_t)x->vocab * sizeof *logits) != 0)
        die("%s: sequence %d has other logits than alone", what, seq);
}

static int64_t
length_of(int seq)
{
    return 1 + (int64_t)seq * (LONGEST - 1) / (SEQUENCES - 1);
}

/* All sequences in one call. */
static void
serve_batch(Server *v)
{
    const Shared *x = v->shared;
    ssmc_input in[SEQUENCES];
    for (int i = 0; i < SEQUENCES; i++) {
        in[i] = (ssmc_input){i, x->ids[i], length_of(i), 1, v->logits + i * x->vocab};
        must(ssmc_reset(v->s, i), "reset");
    }
    must(ssmc_feed(v->s, in, SEQUENCES), "feed");
    for (int i = 0; i < SEQUENCES; i++)
        expect(x, in[i].logits, i, "a batch");
}

/* The longest sequence by way of the cache. Its last token is read alone in any case. */
static void
serve_cached(Server *v)
{
    const Shared *x = v->shared;
    int64_t taken = 0;
    must(ssmc_reset(v->s, 0), "reset");
    must(ssmc_cache_take(x->cache, v->s, 0, x->ids[LAST], LONGEST / 2, &taken), "take");
    for (int64_t at = taken; at < LONGEST; at++) {
        must(ssmc_prefill(v->s, 0, x->ids[LAST] + at, 1, v->logits), "prefill");
        if (at < LONGEST / 2 && at % 5 == v->number)
            must(ssmc_cache_put(x->cache, v->s, 0, x->ids[LAST], at + 1), "put");
    }
    if (memcmp(v->logits, x->stepped, (size_t)x->vocab * sizeof *x->stepped) != 0)
        die("other logits by way of the cache");
    must(ssmc_state_save(v->s, 0, x->path, NULL, 0), "save");
    must(ssmc_state_load(v->s, 1, x->path, NULL, NULL), "load");
    if (ssmc_tokens(v->s, 1) != LONGEST)
        die("a state of %lld tokens", (long long)ssmc_tokens(v->s, 1));
    if (ssmc_reset(v->s, 100 + v->number) == SSMC_OK)
        die("a sequence that is not there");
    char says[32];
    snprintf(says, sizeof says, "no sequence %d", 100 + v->number);
    if (!strstr(ssmc_error(), says))
        die("another thread's message: %s", ssmc_error());
}

static void *
serve(void *arg)
{
    Server *v = arg;
    for (int round = 0; round < ROUNDS; round++) {
        v->s = model_run_session(v->shared->run, SEQUENCES, 1 + (v->number + round) % 2);
        serve_batch(v);
        serve_cached(v);
        ssmc_session_close(v->s);
    }
    return NULL;
}

static void
alone(Shared *x)
{
    ssmc_session *s = model_run_session(x->run, 1, 1);
    for (int i = 0; i < SEQUENCES; i++) {
        model_run_ids(x->run, i, x->ids[i], LONGEST);
        must(ssmc_reset(s, 0), "reset");
        must(ssmc_prefill(s, 0, x->ids[i], length_of(i), x->logits + i * x->vocab), "prefill");
    }
    must(ssmc_reset(s, 0), "reset");
    for (int64_t t = 0; t < LONGEST; t++)
        must(ssmc_prefill(s, 0, x->ids[LAST] + t, 1, x->stepped), "prefill");
    ssmc_session_close(s);
}

int
main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: ssmc_threads MODEL");
    char *dir = temp_dir(), *cache = temp_dir();
    /* Compiled by one thread: what LLVM's do together ThreadSanitizer cannot see. */
    Shared x = {.run = MODEL_RUN(argv[1], "--threads", "1"), .path = path_join(dir, "a.state")};
    x.vocab = ssmc_model_vocab(model_run_model(x.run));
    x.logits = calloc((size_t)(SEQUENCES * x.vocab), sizeof *x.logits);
    x.stepped = calloc((size_t)x.vocab, sizeof *x.stepped);
    must(ssmc_cache_open(cache, 1 << 30, &x.cache), "cache");
    alone(&x);
    Server server[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        float *logits = calloc((size_t)(SEQUENCES * x.vocab), sizeof *logits);
        server[i] = (Server){.shared = &x, .number = i, .logits = logits};
        if (pthread_create(&thread[i], NULL, serve, &server[i]) != 0)
            die("no thread");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        free(server[i].logits);
    }
    ssmc_cache_close(x.cache);
    model_run_close(x.run);
    temp_dir_remove(cache);
    temp_dir_remove(dir);
    free(x.path);
    free(x.logits);
    free(x.stepped);
    threads_engine(argv[1]);
    threads_grammar();
    printf("%d threads, %d rounds each: as one alone\n", THREADS, ROUNDS);
    return 0;
}
