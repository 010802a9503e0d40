/* driver/chat_run.c -- ssmc run --chat: a conversation in the terminal, or line by line through
 * standard input and output. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/chat_line.h"
#include "driver/chat_run.h"
#include "driver/chat_talk.h"

enum { MOST_TOKENS = 4096 }; /* of an answer, where -n does not say */

typedef struct {
    Talk talk;
    bool terminal, thinking; /* reasoning is being shown */
    int64_t turns, fed, made;
    bool quits;
} Chat;

/* ---- answers on the screen --------------------------------------------------------------------
 */

static bool
put_part(void *user, ChatKind kind, const char *text, size_t len)
{
    Chat *chat = user;
    const bool reasoning = kind == CHAT_reasoning;
    if (reasoning && !chat->terminal)
        return true; /* answers alone go to a pipe */
    if (reasoning != chat->thinking)
        fputs(reasoning ? "\033[2m" : "\033[0m\n\n", stdout);
    chat->thinking = reasoning;
    return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
}

static int
take_turn(Chat *chat, const char *text)
{
    Talk *t = &chat->talk;
    chat->thinking = false;
    const int status = talk_turn(t, text, put_part, chat);
    if (chat->thinking)
        fputs("\033[0m", stdout);
    if (status != EXIT_DONE)
        return chat->terminal && status == EXIT_BAD_INPUT ? EXIT_DONE : status;
    fputc('\n', stdout);
    if (fflush(stdout) != 0)
        return fault(EXIT_FAILED, "cannot write to standard output");
    chat->turns++;
    chat->fed += t->fed;
    chat->made += t->made;
    if (t->ended)
        note("the answer stops here: %s", t->ended);
    if (!chat->terminal)
        say("turn     %lld: %lld tokens read, %lld known before, %lld made", (long long)chat->turns,
            (long long)t->fed, (long long)t->kept, (long long)t->made);
    return EXIT_DONE;
}

/* ---- commands ------------------------------------------------------------------------------- */

typedef int ChatCommand(Chat *chat, const char *argument);

static ChatCommand help;

static int
reset(Chat *chat, const char *argument)
{
    (void)argument;
    talk_reset(&chat->talk);
    note("a new conversation");
    return EXIT_DONE;
}

static int
set_system(Chat *chat, const char *argument)
{
    talk_system(&chat->talk, *argument ? argument : NULL);
    note(*argument ? "the system's message is set" : "there is no system message any more");
    return EXIT_DONE;
}

static int
save(Chat *chat, const char *argument)
{
    if (!*argument)
        note("/save wants a file");
    else if (talk_save(&chat->talk, argument) == EXIT_DONE)
        note("saved in %s", argument);
    return EXIT_DONE;
}

static int
load(Chat *chat, const char *argument)
{
    if (!*argument)
        note("/load wants a file");
    else if (talk_load(&chat->talk, argument) == EXIT_DONE)
        note("the conversation of %s goes on: %zu messages", argument,
             json_object_array_length(chat->talk.messages));
    return EXIT_DONE;
}

static int
undo(Chat *chat, const char *argument)
{
    (void)argument;
    note(talk_undo(&chat->talk) ? "your last message and its answer are taken back"
                                : "there is nothing to take back");
    return EXIT_DONE;
}

static int
quit(Chat *chat, const char *argument)
{
    (void)argument;
    chat->quits = true;
    return EXIT_DONE;
}

static const struct {
    const char *name; /* first: nearest_name reads it */
    ChatCommand *run;
    const char *argument, *doc;
} commands[] = {
    {"/help",   help,       "",      "these commands"                                    },
    {"/reset",  reset,      "",      "begin a new conversation"                          },
    {"/system", set_system, " TEXT", "what the system's message says; without TEXT: none"},
    {"/save",   save,       " FILE", "keep the conversation and the model's state"       },
    {"/load",   load,       " FILE", "go on from there"                                  },
    {"/undo",   undo,       "",      "take your last message and its answer back"        },
    {"/quit",   quit,       "",      "end; Ctrl-D, too. Ctrl-C ends an answer"           },
};

static int
help(Chat *chat, const char *argument)
{
    (void)chat, (void)argument;
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        say("%s%-*s  %s", commands[i].name, (int)(14 - strlen(commands[i].name)),
            commands[i].argument, commands[i].doc);
    say("A line that ends with \\ goes on with the next.");
    return EXIT_DONE;
}

static int
run_command(Chat *chat, const char *line)
{
    const size_t len = strcspn(line, " ");
    const char *argument = line + len + strspn(line + len, " ");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strlen(commands[i].name) == len && memcmp(commands[i].name, line, len) == 0)
            return commands[i].run(chat, argument);
    const char *name = arena_strndup(chat->talk.o->arena, line, len);
    const char *near = nearest_name(name, commands, COUNT_OF(commands), sizeof *commands);
    note("there is no command %s%s%s%s", name, near ? "; did you mean " : ": /help lists them",
         near ? near : "", near ? "?" : "");
    return EXIT_DONE;
}

/* ---- the conversation -------------------------------------------------------------------------
 */

static int
converse(Chat *chat)
{
    ChatLine *lines = chat_line_open(chat->terminal);
    int status = EXIT_DONE;
    const char *line;
    while (status == EXIT_DONE && !chat->quits && (line = chat_line_next(lines))) {
        size_t bad = 0;
        if (!*line)
            continue;
        if (!utf8_valid(line, strlen(line), &bad))
            status = fault(EXIT_BAD_INPUT, "the message is not UTF-8 (byte %zu)", bad);
        else
            status = line[0] == '/' ? run_command(chat, line) : take_turn(chat, line);
    }
    if (chat->terminal && !chat->quits)
        fputc('\n', stdout);
    chat_line_close(lines);
    return status;
}

static int
open_session(Chat *chat, const ssmc_sampling *how, int64_t context)
{
    Talk *t = &chat->talk;
    Job *job = t->job;
    const char *dir = opt_text(t->o, OPT_cache_dir), *load_path = opt_text(t->o, OPT_load_state);
    int status = job_run(job);
    if (status != EXIT_DONE)
        return status;
    ssmc_status rs = ssmc_session_open_for(job->model, 1, job->threads, context, &t->session);
    if (rs == SSMC_OK)
        rs = ssmc_sampler_open(how, ssmc_model_vocab(job->model), &t->sampler);
    if (rs != SSMC_OK)
        return runtime_fault(rs);
    if (dir &&
        ssmc_cache_open(dir, (uint64_t)t->o->value[OPT_cache_limit].i << 20, &t->cache) != SSMC_OK)
        note("--cache-dir: %s", ssmc_error());
    talk_reset(t);
    if (load_path)
        status = talk_load(t, load_path);
    if (status == EXIT_DONE && opt_given(t->o, OPT_system))
        talk_system(t, opt_text(t->o, OPT_system));
    return status;
}

static int
chat_with(Chat *chat, const ssmc_sampling *how, int64_t context)
{
    Talk *t = &chat->talk;
    Tokenizer *tok = NULL;
    ChatFormat *format = NULL;
    const char *why = NULL, *path = opt_text(t->o, OPT_save_state);
    int status = job_tokenizer(t->job, &tok);
    if (status == EXIT_DONE)
        status = chat_from(t->o, t->job, tok, &format, &why);
    if (status == EXIT_DONE && !format)
        status = fault(EXIT_BAD_INPUT, "%s", why);
    t->tok = tok;
    t->format = format;
    if (status == EXIT_DONE)
        status = open_session(chat, how, context);
    if (status == EXIT_DONE) {
        if (chat->terminal)
            say("%s, format %s. /help lists commands.", t->o->model, chat_name(format));
        chat_catch_interrupts();
        status = converse(chat);
        if (path && status == EXIT_DONE)
            status = talk_save(t, path);
        say("chat     %lld turns, %lld tokens read, %lld made", (long long)chat->turns,
            (long long)chat->fed, (long long)chat->made);
    }
    talk_close(t);
    ssmc_cache_close(t->cache);
    ssmc_sampler_close(t->sampler);
    ssmc_session_close(t->session);
    chat_close(format);
    tok_free(tok);
    return status;
}

int
run_chat(Options *o, const ssmc_sampling *how)
{
    Job job = {0};
    Chat chat = {
        .talk = {.o = o, .job = &job}
    };
    int64_t context = 0;
    if (opt_given(o, OPT_prompt) || opt_given(o, OPT_prompt_file))
        return option_fault(o, OPT_chat,
                            "--chat reads messages from the terminal or from standard "
                            "input: -p and --prompt-file have no place in it");
    chat.terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    chat.talk.most = opt_given(o, OPT_tokens) ? o->value[OPT_tokens].i : MOST_TOKENS;
    int status = context_from(o, &context);
    if (status == EXIT_DONE)
        status = model_describe_any(&job, o);
    if (status == EXIT_DONE)
        status = chat_with(&chat, how, context);
    job_end(&job);
    return status;
}
