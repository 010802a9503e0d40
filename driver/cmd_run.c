/* driver/cmd_run.c -- ssmc run: a prompt goes in, text streams out as it is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/driver.h"

typedef struct {
    Job *job;
    FeTokenizer *tok;
    ssmc_session *session;
    ssmc_sampler *sampler;
    float *logits; /* [vocab] */
    char *text;    /* the prompt */
    size_t text_len;
    int32_t *prompt; /* its ids */
    size_t nprompt;
    int64_t made;
    double seconds_prefill, seconds_decode, seconds_first;
} Generation;

static bool
sampling_from(const Options *o, ssmc_sampling *how)
{
    const OptValue *v = o->value;
    *how = (ssmc_sampling){.temperature = opt_given(o, OPT_greedy) ? 0 : v[OPT_temperature].num,
                           .top_k = (int)v[OPT_top_k].i,
                           .top_p = v[OPT_top_p].num,
                           .min_p = v[OPT_min_p].num,
                           .repeat_penalty = v[OPT_repeat_penalty].num,
                           .seed = (uint64_t)v[OPT_seed].i};
    const struct {
        OptId id;
        bool ok;
        const char *want;
    } rules[] = {
        {OPT_temperature,    v[OPT_temperature].num >= 0 && v[OPT_temperature].num <= 1e6,       "0 to 1e6" },
        {OPT_top_k,          v[OPT_top_k].i >= 0 && v[OPT_top_k].i <= INT32_MAX,                 "0 or more"},
        {OPT_top_p,          v[OPT_top_p].num >= 0 && v[OPT_top_p].num <= 1,                     "0 to 1"   },
        {OPT_min_p,          v[OPT_min_p].num >= 0 && v[OPT_min_p].num <= 1,                     "0 to 1"   },
        {OPT_repeat_penalty, v[OPT_repeat_penalty].num >= 0 && v[OPT_repeat_penalty].num <= 1e6,
         "0 to 1e6"                                                                                         },
        {OPT_tokens,         v[OPT_tokens].i >= 0,                                               "0 or more"},
    };
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (rules[i].ok)
            continue;
        option_fault(o, rules[i].id, "--%s %s is out of range: it must be %s",
                     opt_info[rules[i].id].name, opt_text(o, rules[i].id), rules[i].want);
        return false;
    }
    return true;
}

static bool
put_token(const Generation *gen, int32_t id)
{
    size_t len = 0;
    const char *bytes = fe_decode(gen->tok, id, &len);
    if (!bytes)
        return true; /* a padding row of the vocabulary: it has no text */
    return fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0;
}

static int
generate(Generation *gen)
{
    const Options *o = gen->job->o;
    Progress bar = progress_start("reading the prompt");
    ssmc_session_on_progress(gen->session, progress_call, &bar);
    double at = rt_now();
    ssmc_status rs = ssmc_prefill(gen->session, 0, gen->prompt, (int64_t)gen->nprompt, gen->logits);
    progress_end(&bar);
    gen->seconds_prefill = rt_now() - at;
    at = rt_now();
    const int64_t most = o->value[OPT_tokens].i;
    const int seq = 0;
    while (rs == SSMC_OK && gen->made < most) {
        const int32_t id = ssmc_sample(gen->sampler, gen->logits);
        if (id == gen->job->fe.eos && !opt_given(o, OPT_ignore_eos))
            break;
        if (!put_token(gen, id))
            return fault(EXIT_FAILED, "cannot write to standard output");
        gen->made++;
        if (gen->made < most)
            rs = ssmc_step(gen->session, &seq, &id, 1, gen->logits);
    }
    gen->seconds_decode = rt_now() - at;
    if (isatty(STDOUT_FILENO))
        fputc('\n', stdout);
    return rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
}

static void
report(const Generation *gen)
{
    const Job *job = gen->job;
    const ssmc_memory m = ssmc_program_memory(job->program, 1, job->threads);
    const double mib = 1 << 20;
    say("load     %7.3f s   %.1f MiB weights, %.1f MiB packed", job->seconds_load,
        (double)m.weights / mib, (double)m.params / mib);
    say("compile  %7.3f s   for %s, %d threads", job->seconds_compile, job->target.cpu,
        job->threads);
    say("prefill  %7.3f s   %zu tokens, %.1f tokens/s", gen->seconds_prefill, gen->nprompt,
        (double)gen->nprompt / gen->seconds_prefill);
    if (gen->made > 1)
        say("decode   %7.3f s   %lld tokens, %.1f tokens/s", gen->seconds_decode,
            (long long)gen->made, (double)(gen->made - 1) / gen->seconds_decode);
}

/* The prompt's text, from the command line, a file or standard input. */
static int
read_prompt(Generation *gen)
{
    enum { MAX_TEXT = 1 << 30 };
    const Options *o = gen->job->o;
    const char *given = opt_text(o, OPT_prompt), *path = opt_text(o, OPT_prompt_file), *why = NULL;
    if (given) {
        gen->text = arena_strdup(o->arena, given);
        gen->text_len = strlen(given);
        return EXIT_DONE;
    }
    if (strcmp(path, "-") == 0)
        return read_stdin(o->arena, &gen->text, &gen->text_len) ? EXIT_DONE : EXIT_FAILED;
    if (!file_read(o->arena, path, MAX_TEXT, &gen->text, &gen->text_len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    return EXIT_DONE;
}

static int
encode_prompt(Generation *gen)
{
    const int status =
        encode_text(gen->tok, "the prompt", gen->text, gen->text_len, &gen->prompt, &gen->nprompt);
    if (status != EXIT_DONE)
        return status;
    if (gen->nprompt == 0)
        return option_fault(gen->job->o, OPT_prompt,
                            "the prompt is empty; there is nothing to continue");
    return EXIT_DONE;
}

static int
run_with(Generation *gen, const ssmc_sampling *how)
{
    Job *job = gen->job;
    int status = job_tokenizer(job, &gen->tok);
    if (status == EXIT_DONE)
        status = read_prompt(gen);
    if (status == EXIT_DONE)
        status = encode_prompt(gen);
    if (status == EXIT_DONE)
        status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    const int64_t vocab = ssmc_model_vocab(job->model);
    gen->logits = arena_array(job->arena, (size_t)vocab, sizeof *gen->logits);
    ssmc_status rs = ssmc_session_open(job->model, 1, job->threads, &gen->session);
    if (rs == SSMC_OK)
        rs = ssmc_sampler_open(how, vocab, &gen->sampler);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    for (size_t i = 0; i < gen->nprompt; i++)
        ssmc_sampler_see(gen->sampler, gen->prompt[i]);
    if (opt_given(job->o, OPT_echo))
        fwrite(gen->text, 1, gen->text_len, stdout);
    status = generate(gen);
    if (status == EXIT_DONE)
        report(gen);
    return status;
}

int
cmd_run(Options *o)
{
    ssmc_sampling how;
    if (!opt_text(o, OPT_prompt) == !opt_text(o, OPT_prompt_file))
        return option_fault(o, OPT_prompt,
                            "what to continue? give either -p TEXT or --prompt-file FILE");
    if (!sampling_from(o, &how))
        return EXIT_BAD_INPUT;
    Job job;
    Generation gen = {.job = &job};
    int status = job_describe(&job, o);
    if (status == EXIT_DONE)
        status = run_with(&gen, &how);
    ssmc_sampler_close(gen.sampler);
    ssmc_session_close(gen.session);
    free(gen.prompt);
    fe_tokenizer_free(gen.tok);
    job_end(&job);
    return status;
}
