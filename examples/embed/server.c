/* examples/embed/server.c -- two threads answer prompts with one model: a prompt is a line of ids
 * on standard input; its answer is a line "NUMBER: ids", in whatever order the answers are ready.
 * The model is shared, and a session is a thread's own, so the lock is of the two streams alone. */
#include "model.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 2, MADE = 32 };

typedef struct {
    const ssmc_model *model;
    pthread_mutex_t lock; /* of the streams, and of what follows */
    int lines, faults;
} Server;

typedef struct {
    Server *server;
    pthread_t thread;
    ssmc_session *session; /* of one sequence and one thread */
    ssmc_sampler *sampler;
    float *logits; /* [MODEL_VOCAB] */
    char *line;
    size_t room;
    int number;                 /* of the line */
    int32_t *ids, answer[MADE]; /* ids: as many as the line has characters at most */
} Worker;

/* The next line is this worker's. 0: there is none. */
static int
take_line(Worker *w)
{
    pthread_mutex_lock(&w->server->lock);
    const int taken = getline(&w->line, &w->room, stdin) >= 0;
    w->number = taken ? ++w->server->lines : 0;
    pthread_mutex_unlock(&w->server->lock);
    return taken;
}

static void
put_line(Worker *w, const char *fault)
{
    pthread_mutex_lock(&w->server->lock);
    w->server->faults += fault != NULL;
    printf("%d:%s%s", w->number, fault ? " error: " : "", fault ? fault : "");
    for (int i = 0; i < MADE && !fault; i++)
        printf(" %d", w->answer[i]);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&w->server->lock);
}

/* Ids of the line; -1: it has something else. */
static int64_t
read_ids(Worker *w)
{
    int32_t *ids = realloc(w->ids, w->room * sizeof *ids);
    int64_t n = 0;
    w->ids = ids ? ids : w->ids;
    for (char *at = w->line, *end; ids; at = end) {
        const long id = strtol(at, &end, 10);
        if (end == at)
            return *at == '\n' || *at == '\0' ? n : -1;
        ids[n++] = id >= 0 && id <= INT32_MAX ? (int32_t)id : -1; /* refused with the others */
    }
    return -1;
}

/* NULL: the answer is made. */
static const char *
answer(Worker *w)
{
    const int64_t n = read_ids(w);
    if (n < 0)
        return "a prompt is a line of ids";
    ssmc_reset(w->session, 0);
    if (ssmc_prefill(w->session, 0, w->ids, n, w->logits) != SSMC_OK)
        return ssmc_error();
    for (int i = 0; i < MADE; i++) {
        w->answer[i] = ssmc_sample(w->sampler, w->logits);
        if (ssmc_prefill(w->session, 0, &w->answer[i], 1, w->logits) != SSMC_OK)
            return ssmc_error();
    }
    return NULL;
}

static void *
serve(void *arg)
{
    Worker *w = arg;
    while (take_line(w))
        put_line(w, answer(w));
    return NULL;
}

/* 0: the worker is at work. */
static int
start(Worker *w, Server *server)
{
    const ssmc_sampling greedy = {.temperature = 0};
    *w = (Worker){.server = server, .logits = malloc(MODEL_VOCAB * sizeof(float))};
    return !w->logits || ssmc_session_open(server->model, 1, 1, &w->session) != SSMC_OK ||
           ssmc_sampler_open(&greedy, MODEL_VOCAB, &w->sampler) != SSMC_OK ||
           pthread_create(&w->thread, NULL, serve, w) != 0;
}

static void
finish(Worker *w)
{
    pthread_join(w->thread, NULL);
    ssmc_sampler_close(w->sampler);
    ssmc_session_close(w->session);
    free(w->logits);
    free(w->line);
    free(w->ids);
}

int
main(void)
{
    Server server = {.lock = PTHREAD_MUTEX_INITIALIZER};
    Worker worker[THREADS];
    ssmc_model *model = NULL;
    if (ssmc_compiled_open(model_compiled(), NULL, &model) != SSMC_OK) {
        fprintf(stderr, "server: %s\n", ssmc_error());
        return EXIT_FAILURE;
    }
    server.model = model;
    for (int i = 0; i < THREADS; i++)
        if (start(&worker[i], &server) != 0) {
            fprintf(stderr, "server: no thread: %s\n", ssmc_error());
            return EXIT_FAILURE;
        }
    for (int i = 0; i < THREADS; i++)
        finish(&worker[i]);
    ssmc_model_close(model);
    return server.faults ? EXIT_FAILURE : EXIT_SUCCESS;
}
