/* driver/cmd_run.c -- ssmc run: a prompt goes in, text streams out as it is made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/chat_run.h"
#include "driver/run_text.h"

typedef struct {
    const Options *o;
    Job *job;
    Tokenizer *tok;
    ssmc_session *session;
    ssmc_sampler *sampler;
    int32_t next; /* id that was drawn last */
    char *prompt; /* NULL: the saved state goes on by itself */
    size_t prompt_len;
    RunText text;
    RunGrammar grammar;
    int64_t context, made;
    bool full; /* the session has no room for more of the text */
    double seconds_prefill, seconds_decode;
} Generation;

static bool
put(const char *bytes, size_t len)
{
    return fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0;
}

/* Draws tokens until enough are made or the text ends. */
static int
generate(Generation *gen)
{
    const Options *o = gen->o;
    const double started = rt_now();
    ssmc_status rs = SSMC_OK;
    bool written = true;
    size_t len = 0;
    TokText *text = tok_text_new(gen->tok, true);
    while (rs == SSMC_OK && written && gen->made < o->value[OPT_tokens].i) {
        if (gen->made > 0)
            rs = run_text_step(&gen->text, gen->sampler, &gen->next);
        gen->full = rs == SSMC_FULL;
        if (rs != SSMC_OK || gen->grammar.whole || gen->grammar.stuck)
            break;
        const int32_t id = gen->next;
        run_text_add(&gen->text, id);
        if (ids_have(gen->job->eos, gen->job->neos, id) && !opt_given(o, OPT_ignore_eos))
            break;
        const char *bytes = tok_text_add(text, id, &len); /* a padding row has no text */
        written = !bytes || put(bytes, len);
        gen->made += written;
    }
    const char *rest = tok_text_end(text, &len);
    written = written && put(rest, len);
    tok_text_free(text);
    if (!written)
        return fault(EXIT_FAILED, "cannot write to standard output");
    gen->seconds_decode = rt_now() - started;
    if (isatty(STDOUT_FILENO))
        fputc('\n', stdout);
    if (gen->grammar.stuck)
        return fault(EXIT_FAILED,
                     "the text cannot go on: no id of the tokenizer has what the grammar "
                     "wants next, or the model gives none of them a number");
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
    say("compile  %7.3f s   for %s, %d threads", job->seconds_compile, job->machine.cpu,
        job->threads);
    const int prompt = gen->text.fed + gen->text.cached;
    if (gen->text.cache)
        say("cache              %d of %d tokens taken from %s", gen->text.cached, prompt,
            opt_text(gen->o, OPT_cache_dir));
    say("prefill  %7.3f s   %d tokens, %.1f tokens/s", gen->seconds_prefill, gen->text.fed,
        (double)gen->text.fed / gen->seconds_prefill);
    if (gen->made > 1)
        say("decode   %7.3f s   %lld tokens, %.1f tokens/s", gen->seconds_decode,
            (long long)gen->made, (double)(gen->made - 1) / gen->seconds_decode);
}

/* The prompt's text, from the command line, a file or standard input. */
static int
read_prompt(Generation *gen)
{
    enum { MAX_TEXT = 1 << 30 };
    const Options *o = gen->o;
    const char *given = opt_text(o, OPT_prompt), *path = opt_text(o, OPT_prompt_file), *why = NULL;
    if (given) {
        gen->prompt = arena_strdup(o->arena, given);
        gen->prompt_len = strlen(given);
        return EXIT_DONE;
    }
    if (!path)
        return EXIT_DONE;
    if (strcmp(path, "-") == 0)
        return read_stdin(o->arena, &gen->prompt, &gen->prompt_len) ? EXIT_DONE : EXIT_FAILED;
    if (!file_read(o->arena, path, MAX_TEXT, &gen->prompt, &gen->prompt_len, &why))
        return fault(EXIT_BAD_INPUT, "%s", why);
    return EXIT_DONE;
}

/* The model, a session that is where --load-state says, and the whole text, which the sampler has
 * seen. */
static int
open_text(Generation *gen, const ssmc_sampling *how, const int32_t *ids, size_t count)
{
    Job *job = gen->job;
    int status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    ssmc_status rs =
        ssmc_session_open_for(job->model, 1, job->threads, gen->context, &gen->session);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    status = run_text_open(&gen->text, gen->o, job, gen->session, &gen->grammar);
    if (status != EXIT_DONE)
        return status;
    run_grammar_open(&gen->grammar, gen->o, job, gen->tok);
    for (size_t i = 0; i < count; i++)
        run_text_add(&gen->text, ids[i]);
    if (gen->text.read == gen->text.count)
        return option_fault(gen->o, OPT_prompt,
                            "the saved text has been read to its end: give what comes next");
    const int64_t vocab = ssmc_model_vocab(job->model);
    rs = ssmc_sampler_open(how, vocab, &gen->sampler);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    for (int i = 0; i < gen->text.count; i++)
        ssmc_sampler_see(gen->sampler, gen->text.ids[i]);
    return EXIT_DONE;
}

static int
run_with(Generation *gen, const ssmc_sampling *how)
{
    const Options *o = gen->o;
    int32_t *ids = NULL;
    size_t count = 0;
    int status = job_tokenizer(gen->job, &gen->tok);
    if (status == EXIT_DONE)
        status = read_prompt(gen);
    if (status == EXIT_DONE && gen->prompt)
        status = encode_text(gen->tok, "the prompt", gen->prompt, gen->prompt_len, &ids, &count);
    if (status == EXIT_DONE && count == 0 && !opt_given(o, OPT_load_state))
        status = option_fault(o, OPT_prompt, "the prompt is empty; there is nothing to continue");
    if (status == EXIT_DONE)
        status = open_text(gen, how, ids, count);
    free(ids);
    if (status != EXIT_DONE)
        return status;
    if (opt_given(o, OPT_echo) && gen->prompt)
        fwrite(gen->prompt, 1, gen->prompt_len, stdout);
    if (gen->job->neos == 0 && !opt_given(o, OPT_ignore_eos))
        note("%s says no id that ends a text: generation goes on for all %lld tokens of -n (`--set "
             "eos=ID` names one)",
             o->model, (long long)o->value[OPT_tokens].i);
    const double started = rt_now();
    status = run_text_read(&gen->text, gen->sampler, &gen->next);
    gen->seconds_prefill = rt_now() - started;
    if (status == EXIT_DONE)
        status = generate(gen);
    if (status != EXIT_DONE && !gen->full)
        return status;
    const int saved = run_text_save(&gen->text);
    if (saved == EXIT_DONE)
        report(gen);
    return saved == EXIT_DONE ? status : saved;
}

int
cmd_run(Options *o)
{
    ssmc_sampling how;
    if (opt_given(o, OPT_chat))
        return sampling_from(o, &how) && run_text_check(o) == EXIT_DONE ? run_chat(o, &how)
                                                                        : EXIT_BAD_INPUT;
    const OptId chats[] = {OPT_system, OPT_chat_format, OPT_chat_template};
    for (size_t i = 0; i < COUNT_OF(chats); i++)
        if (opt_given(o, chats[i]))
            return option_fault(o, OPT_chat, "--%s is for conversations: give --chat, too",
                                opt_info[chats[i]].name);
    const bool typed = opt_given(o, OPT_prompt), from_file = opt_given(o, OPT_prompt_file);
    if ((typed && from_file) || (!typed && !from_file && !opt_given(o, OPT_load_state)))
        return option_fault(o, OPT_prompt,
                            "what to continue? give either -p TEXT or --prompt-file FILE");
    if (!sampling_from(o, &how) || run_text_check(o) != EXIT_DONE)
        return EXIT_BAD_INPUT;
    Job job = {0};
    Generation gen = {.o = o, .job = &job};
    int status = context_from(o, &gen.context);
    if (status == EXIT_DONE)
        status = run_grammar_read(&gen.grammar, o);
    if (status == EXIT_DONE)
        status = model_describe_any(&job, o);
    if (status == EXIT_DONE)
        status = run_with(&gen, &how);
    ssmc_sampler_close(gen.sampler);
    run_text_close(&gen.text);
    run_grammar_close(&gen.grammar);
    ssmc_session_close(gen.session);
    tok_free(gen.tok);
    job_end(&job);
    return status;
}
