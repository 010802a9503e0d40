/* driver/cmd_serve.c -- ssmc serve: a model that answers over HTTP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/chat_from.h"
#include "driver/driver.h"
#include "serve/serve.h"

enum { MOST_KEYS = 4096, MOST_KEY_FILE = 1 << 20 };

/* ---- options ------------------------------------------------------------------------------- */

static bool
numbers_fit(const Options *o)
{
    static const struct {
        OptId id;
        int64_t low, high;
    } whole[] = {
        {OPT_port,          0, 65535           },
        {OPT_slots,         1, 4096            },
        {OPT_queue,         0, 1000000         },
        {OPT_prefix_memory, 0, INT64_C(1) << 30},
        {OPT_serve_tokens,  0, INT32_MAX       },
        {OPT_connections,   1, 1000000         },
        {OPT_body_limit,    1, 1024            },
        {OPT_cache_limit,   1, INT64_MAX >> 20 },
    };
    static const struct {
        OptId id;
        double low, high;
    } real[] = {
        {OPT_latency, 0.1, 60000},
        {OPT_drain,   0,   86400},
    };
    for (size_t i = 0; i < COUNT_OF(whole); i++) {
        const int64_t n = o->value[whole[i].id].i;
        if (n >= whole[i].low && n <= whole[i].high)
            continue;
        option_fault(o, whole[i].id, "--%s %s is out of range: it must be %lld to %lld",
                     opt_info[whole[i].id].name, opt_text(o, whole[i].id), (long long)whole[i].low,
                     (long long)whole[i].high);
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(real); i++) {
        const double n = o->value[real[i].id].num;
        if (n >= real[i].low && n <= real[i].high)
            continue;
        option_fault(o, real[i].id, "--%s %s is out of range: it must be %g to %g",
                     opt_info[real[i].id].name, opt_text(o, real[i].id), real[i].low, real[i].high);
        return false;
    }
    return true;
}

/* A key a line; # begins a comment. */
static int
read_keys(const Options *o, ServeOptions *serve)
{
    const char *path = opt_text(o, OPT_api_key_file), *why = NULL;
    char *text = NULL;
    size_t len = 0;
    if (!path)
        return EXIT_DONE;
    if (!file_read(o->arena, path, MOST_KEY_FILE, &text, &len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    const char **keys = arena_array(o->arena, MOST_KEYS, sizeof *keys);
    for (char *line = text, *next = NULL; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line += strspn(line, " \t");
        line[strcspn(line, " \t\r#")] = '\0';
        if (!*line)
            continue;
        if (serve->nkeys == MOST_KEYS)
            return option_fault(o, OPT_api_key_file, "%s has more than %d keys", path, MOST_KEYS);
        keys[serve->nkeys++] = line;
    }
    serve->api_keys = keys;
    return serve->nkeys
               ? EXIT_DONE
               : option_fault(o, OPT_api_key_file, "%s has no key: nobody could ask", path);
}

static int
serve_options(const Options *o, ServeOptions *out)
{
    const OptValue *v = o->value;
    *out = (ServeOptions){.host = opt_text(o, OPT_host),
                          .port = (int)v[OPT_port].i,
                          .origin = opt_text(o, OPT_cors),
                          .log = opt_text(o, OPT_log),
                          .log_prompts = opt_given(o, OPT_log_prompts),
                          .most = v[OPT_serve_tokens].i,
                          .body = (size_t)v[OPT_body_limit].i << 20,
                          .connections = (int)v[OPT_connections].i,
                          .drain = v[OPT_drain].num};
    out->engine = (EngineOptions){.slots = (int)v[OPT_slots].i,
                                  .waiting = (int)v[OPT_queue].i,
                                  .latency = v[OPT_latency].num / 1e3,
                                  .prefix_bytes = (size_t)v[OPT_prefix_memory].i << 20,
                                  .cache_dir = opt_text(o, OPT_cache_dir),
                                  .cache_limit = (uint64_t)v[OPT_cache_limit].i << 20};
    if (!numbers_fit(o) || !sampling_from(o, &out->preset))
        return EXIT_BAD_INPUT;
    const int status = context_from(o, &out->engine.room);
    return status == EXIT_DONE ? read_keys(o, out) : status;
}

/* ---- memory -------------------------------------------------------------------------------- */

static void
put_row(const char *what, double bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("  %-12s %10.2f MiB   ", what, bytes / (1 << 20));
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}

/* The figures of a program whose code has not been made, or of a compiled model's variant. */
static int
look_at_memory(Job *job, const Options *o, const EngineOptions *engine, ssmc_memory *m)
{
    if (job->compiled) {
        const char *variant = opt_given(o, OPT_cpu) ? opt_text(o, OPT_cpu) : NULL;
        const ssmc_status rs =
            ssmc_compiled_memory(job->compiled, variant, engine->slots, job->threads, m);
        return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
    }
    int status = job_weights(job, false);
    if (status == EXIT_DONE)
        status = job_module(job);
    if (status == EXIT_DONE)
        *m = rt_figures_memory(cg_module_abi(job->module), cg_module_reads(job->module),
                               engine->slots, job->threads, engine->room);
    return status;
}

static int
check(Job *job, const Options *o, const ServeOptions *serve)
{
    const EngineOptions *e = &serve->engine;
    ssmc_memory m;
    const int status = look_at_memory(job, o, e, &m);
    if (status != EXIT_DONE)
        return status;
    if (m.total == SIZE_MAX)
        return fault(EXIT_BAD_INPUT, "%d slots are more than memory can hold", e->slots);
    const double state = (double)m.state, grown = (double)m.token * (double)e->room;
    const double all = (double)m.total + (double)e->slots * grown + (double)e->prefix_bytes;
    printf("%s: %d slots, room for %lld tokens each, %d threads\n", serve->name, e->slots,
           (long long)e->room, job->threads);
    put_row("parameters", (double)m.params, "weights packed for the kernels");
    put_row("weights", (double)m.kept, "what kernels read of the checkpoint as it is");
    put_row("states", (double)e->slots * state, "%zu bytes a slot", m.state);
    put_row("scratch", (double)m.scratch, "activations, scratch of threads, logits, bookkeeping");
    put_row("prefixes", (double)e->prefix_bytes, "states that are kept, at most (--prefix-memory)");
    if (m.token)
        put_row("growing", (double)e->slots * grown,
                "once each slot has read %lld tokens (--context); %zu bytes a token",
                (long long)e->room, m.token);
    put_row("together", all, "the peak, but for the program's code, libraries and connections");
    if (m.device)
        put_row("on the GPU", (double)m.device, "of that, in its memory");
    return EXIT_DONE;
}

/* ---- the model ----------------------------------------------------------------------------- */

/* A request's bits are not to depend on what else is asked for, so prompts must give the same bits
 * wherever they are cut. --set compile.reproducible=false gives that up. */
static void
want_reproducible(Options *o)
{
    OptValue *set = &o->value[OPT_set];
    if (!o->model || is_compiled(o->model))
        return;
    VEC_PUSH(o->arena, set->list, set->count, set->cap, NULL);
    memmove(set->list + 1, set->list, (size_t)(set->count - 1) * sizeof *set->list);
    set->list[0] = "compile.reproducible=true";
}

static void
note_of_bits(const Job *job)
{
    const AbiProgram *abi = rt_program_abi(job->program);
    if (!abi_cuts_anywhere(abi))
        note("%s was not compiled reproducible: an answer's last bits, and by them its words, may "
             "depend on what else "
             "is asked for at the same time",
             job->settings.model);
}

static const char *
model_name(const Job *job, const Options *o)
{
    const char *slash = strrchr(o->model, '/');
    const char *base = slash && slash[1] ? slash + 1 : o->model;
    return job->compiled || !job->fe.graph->name ? base : job->fe.graph->name;
}

static int
serve_model(Job *job, const Options *o, ServeOptions *serving)
{
    Tokenizer *tok = NULL;
    ChatFormat *chat = NULL;
    int status = job_tokenizer(job, &tok);
    if (status == EXIT_DONE)
        status = chat_from(o, job, tok, &chat, &serving->no_chat);
    if (status == EXIT_DONE)
        status = job_run(job);
    if (status == EXIT_DONE) {
        note_of_bits(job);
        serving->tok = tok;
        serving->chat = chat;
        serving->engine.model = job->model;
        serving->engine.eos = job->eos;
        serving->engine.neos = job->neos;
        serving->engine.threads = job->threads;
        status = serve(serving);
    }
    if (chat)
        chat_close(chat);
    tok_free(tok);
    return status;
}

/* Threads of a model work together and wait for the slowest: where there are many cores, some are
 * left to connections. */
static void
leave_cores(const Options *o, Job *job)
{
    enum { ONE_OF = 8 };
    const char *asked = opt_text(o, OPT_threads);
    if (!asked || strtol(asked, NULL, 10) == 0)
        job->threads -= job->threads / ONE_OF;
}

int
cmd_serve(Options *o)
{
    ServeOptions serving;
    Job job = {0};
    int status = serve_options(o, &serving);
    want_reproducible(o);
    if (status == EXIT_DONE)
        status = model_describe_any(&job, o);
    if (status == EXIT_DONE) {
        leave_cores(o, &job);
        serving.name = model_name(&job, o);
        status =
            opt_given(o, OPT_check) ? check(&job, o, &serving) : serve_model(&job, o, &serving);
    }
    job_end(&job);
    return status;
}
