/* driver/exe/run.c -- one prompt to a stream of text, or lines of prompts to lines of answers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/exe/exe.h"

typedef struct {
    const Options *o;
    Arena *arena;
    ssmc_sampling how;
    Tokenizer *tok;
    ssmc_model *model;
    ssmc_session *session;
    int64_t vocab;
    const int32_t *eos; /* neos of them */
    size_t neos;
    const char *variant; /* whose code runs */
    int threads;
    int64_t context; /* tokens that the sequence can hold */
    double seconds_open;
} Program;

/* What becomes of the bytes of a token. False: errno. */
typedef bool Put(const char *bytes, size_t len);

/* ---- generating ---------------------------------------------------------------------------- */

typedef struct {
    int64_t prompt, made; /* tokens */
    double prefill, decode;
} Rates;

static ssmc_status
decode(Program *p, ssmc_turn *turn, Put *put, Rates *rates)
{
    const int64_t most = p->o->value[OPT_tokens].i;
    ssmc_status rs = SSMC_OK;
    size_t len = 0;
    bool written = true;
    TokText *text = tok_text_new(p->tok, true);
    while (rs == SSMC_OK && rates->made < most) {
        const int32_t id = turn->id;
        if (ids_have(p->eos, p->neos, id) && !opt_given(p->o, OPT_ignore_eos))
            break;
        const char *bytes = tok_text_add(text, id, &len);
        written = !bytes || put(bytes, len); /* padding rows of the vocabulary have no text */
        if (!written)
            break;
        turn->ids = &id;
        turn->count = 1;
        if (++rates->made < most)
            rs = ssmc_draw(p->session, turn, 1);
    }
    const char *rest = tok_text_end(text, &len);
    if (written)
        put(rest, len);
    tok_text_free(text);
    return rs;
}

static ssmc_status
generate(Program *p, const int32_t *ids, size_t count, Put *put, Rates *rates)
{
    ssmc_sampler *sampler = NULL;
    *rates = (Rates){.prompt = (int64_t)count};
    ssmc_status rs = ssmc_sampler_open(&p->how, p->vocab, &sampler);
    if (rs == SSMC_OK)
        rs = ssmc_reset(p->session, 0);
    for (size_t i = 0; i < count && rs == SSMC_OK; i++)
        if (ids[i] < p->vocab)
            ssmc_sampler_see(sampler, ids[i]);
    ssmc_turn turn = {.ids = ids, .count = (int64_t)count, .sampler = sampler};
    double at = rt_now();
    if (rs == SSMC_OK)
        rs = ssmc_draw(p->session, &turn, 1);
    rates->prefill = rt_now() - at;
    at = rt_now();
    if (rs == SSMC_OK)
        rs = decode(p, &turn, put, rates);
    rates->decode = rt_now() - at;
    ssmc_sampler_close(sampler);
    return rs;
}

static bool
put_stream(const char *bytes, size_t len)
{
    return fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0;
}

/* A line's end inside an answer is written as \n, so that an answer stays one line. */
static bool
put_line(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const bool escaped = bytes[i] == '\n' || bytes[i] == '\\';
        if (escaped && putchar('\\') == EOF)
            return false;
        if (putchar(bytes[i] == '\n' ? 'n' : bytes[i]) == EOF)
            return false;
    }
    return true;
}

static int
answer(Program *p, const char *text, size_t len, Put *put, Rates *rates)
{
    int32_t *ids = NULL;
    size_t count = 0;
    int status = encode_text(p->tok, "the prompt", text, len, &ids, &count);
    if (status == EXIT_DONE && count == 0)
        status = fault(EXIT_BAD_INPUT, "the prompt is empty; there is nothing to continue");
    if (status == EXIT_DONE) {
        const ssmc_status rs = generate(p, ids, count, put, rates);
        status = rs == SSMC_OK ? EXIT_DONE : runtime_fault(rs);
    }
    free(ids);
    if (status == EXIT_DONE && ferror(stdout))
        status = fault(EXIT_FAILED, "cannot write to standard output");
    return status;
}

/* ---- one prompt ---------------------------------------------------------------------------- */

static int
prompt_read(const Program *p, char **text, size_t *len)
{
    enum { MAX_TEXT = 1 << 30 };
    const char *given = opt_text(p->o, OPT_prompt), *path = opt_text(p->o, OPT_prompt_file);
    const char *why = NULL;
    if (given) {
        *text = arena_strdup(p->arena, given);
        *len = strlen(given);
        return EXIT_DONE;
    }
    if (strcmp(path, "-") == 0)
        return read_stdin(p->arena, text, len) ? EXIT_DONE : EXIT_FAILED;
    return file_read(p->arena, path, MAX_TEXT, text, len, &why) ? EXIT_DONE
                                                                : fault(EXIT_BAD_INPUT, "%s", why);
}

static int
run_once(Program *p)
{
    char *text = NULL;
    size_t len = 0;
    Rates r = {0};
    int status = prompt_read(p, &text, &len);
    if (status == EXIT_DONE && opt_given(p->o, OPT_echo))
        put_stream(text, len);
    if (status == EXIT_DONE)
        status = answer(p, text, len, put_stream, &r);
    if (status != EXIT_DONE)
        return status;
    if (isatty(STDOUT_FILENO))
        putchar('\n');
    say("open     %7.3f s   for %s, %d threads", p->seconds_open, p->variant, p->threads);
    say("prefill  %7.3f s   %lld tokens, %.1f tokens/s", r.prefill, (long long)r.prompt,
        (double)r.prompt / r.prefill);
    if (r.made > 1)
        say("decode   %7.3f s   %lld tokens, %.1f tokens/s", r.decode, (long long)r.made,
            (double)(r.made - 1) / r.decode);
    return EXIT_DONE;
}

/* ---- lines of prompts ---------------------------------------------------------------------- */

/* \n and \\ in a line stand for a line's end and a backslash; any other \ for itself. */
static size_t
unescape(char *line, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        const char next = line[i] == '\\' && i + 1 < len ? line[i + 1] : '\0';
        const bool escape = next == 'n' || next == '\\';
        line[n++] = next == 'n' ? '\n' : line[i];
        i += escape;
    }
    return n;
}

/* A line that cannot be answered gives an empty line, so that answers keep their places. */
static int
serve(Program *p)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t got = 0;
    int status = EXIT_DONE;
    Rates rates;
    errno = 0;
    while (!ferror(stdout) && (got = getline(&line, &room, stdin)) >= 0) {
        const size_t len = (size_t)got - (got > 0 && line[got - 1] == '\n');
        const int answered = answer(p, line, unescape(line, len), put_line, &rates);
        if (answered != EXIT_DONE)
            status = answered;
        putchar('\n');
        fflush(stdout);
    }
    if (ferror(stdin))
        status = fault(EXIT_FAILED, "cannot read standard input: %s", strerror(errno));
    free(line);
    return ferror(stdout) ? fault(EXIT_FAILED, "cannot write to standard output") : status;
}

/* ---- the model ----------------------------------------------------------------------------- */

static int
model_open(Program *p)
{
    const Options *o = p->o;
    const ssmc_compiled *compiled = ssmc_product_compiled();
    const ssmc_opening how = {.weights = opt_text(o, OPT_weights_file),
                              .variant = opt_text(o, OPT_variant),
                              .pack_cache = opt_text(o, OPT_pack_cache),
                              .threads = p->threads};
    const AbiVariant *variant = NULL;
    ssmc_status rs = rt_variant_choose(compiled, how.variant, &variant);
    if (rs == SSMC_OK)
        rs = ssmc_compiled_open(compiled, &how, &p->model);
    if (rs == SSMC_OK)
        rs = ssmc_session_open_for(p->model, 1, p->threads, p->context, &p->session);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    p->variant = variant->cpu;
    if (rt_variant_note(compiled, how.variant))
        note("%s", rt_variant_note(compiled, how.variant));
    if (ssmc_model_warning(p->model))
        note("--pack-cache: %s", ssmc_model_warning(p->model));
    p->vocab = ssmc_model_vocab(p->model);
    p->eos = ssmc_compiled_eos(compiled, &p->neos);
    return EXIT_DONE;
}

int
exe_run(Options *o)
{
    Program p = {.o = o, .arena = o->arena, .seconds_open = rt_now()};
    if (!sampling_from(o, &p.how))
        return EXIT_BAD_INPUT;
    int status = threads_from(o, &p.threads);
    if (status == EXIT_DONE)
        status = context_from(o, &p.context);
    if (status == EXIT_DONE) {
        size_t len = 0;
        Diag *diag = diag_new();
        const char *text = ssmc_compiled_tokenizer(ssmc_product_compiled(), &len);
        p.tok = tok_parse(p.arena, text, len, "the tokenizer inside", diag);
        status = p.tok ? EXIT_DONE : diag_fault(diag);
        diag_free(diag);
    }
    if (status == EXIT_DONE)
        status = model_open(&p);
    p.seconds_open = rt_now() - p.seconds_open;
    if (status == EXIT_DONE)
        status = opt_given(o, OPT_serve_stdin) ? serve(&p) : run_once(&p);
    ssmc_session_close(p.session);
    ssmc_model_close(p.model);
    tok_free(p.tok);
    return status;
}
