/* driver/gen/man.c -- the manual's pages of the command: what `ssmc help` prints, with more room.
 */
#include <string.h>

#include "driver/gen/gen.h"

typedef struct {
    const char *name, *text;
} Entry;

static const Entry examples[] = {
#define EXAMPLE(line, doc) {line, doc},
#include "driver/gen/examples.def"
#undef EXAMPLE
};

static const Entry variables[] = {
    {"SSMC_VARIANT",      "the CPU whose code of a compiled model runs, in place of the best that this "
                     "machine can"                        },
    {"SSMC_PERF_MAP",     "1: names of kernels for perf, in /tmp/perf-PID.map"},
    {"SSMC_CUDA_LIBRARY", "the GPU's driver, in place of libcuda.so.1"        },
};

static const Entry endpoints[] = {
#define ROUTE(method, path, handler, key, doc) {#method " " path, doc},
#include "serve/routes.def"
#undef ROUTE
};

static const Entry request_keys[] = {
#define REQUEST_KEY(id, name, kind, low, high, where, doc) {name, doc},
#include "serve/request_keys.def"
#undef REQUEST_KEY
};

/* ---- pieces -------------------------------------------------------------------------------- */

static void
put_entry(StrBuf *out, const Entry *e)
{
    sb_puts(out, ".TP\n.B ");
    roff_put(out, e->name);
    sb_puts(out, "\n");
    roff_put(out, e->text);
    sb_puts(out, ".\n");
}

/* Whether a text has every word of a list. */
static bool
says_all(const char *text, const char *words)
{
    const char *word = NULL;
    size_t len = 0;
    bool all = true;
    while (word_next(&words, &word, &len)) {
        const char *at = text;
        while (*at && strncmp(at, word, len) != 0)
            at++;
        all = all && *at;
    }
    return all;
}

/* -n, --tokens N, and below it what it means, its preset and its words. */
static void
put_option(StrBuf *out, OptId id)
{
    const OptInfo *info = &opt_info[id];
    const char *words = NULL;
    size_t len = 0;
    sb_puts(out, ".TP\n");
    if (info->letter)
        sb_printf(out, "\\fB\\-%c\\fR, ", info->letter);
    sb_puts(out, "\\fB\\-\\-");
    roff_put(out, info->name);
    sb_puts(out, "\\fR");
    if (info->arg[0]) {
        sb_puts(out, " \\fI");
        roff_put(out, info->arg);
        sb_puts(out, "\\fR");
    }
    sb_puts(out, "\n");
    roff_put(out, info->doc);
    sb_puts(out, ".\n");
    if (info->kind == OK_LIST)
        sb_puts(out, "May be given several times.\n");
    if (info->preset[0]) {
        sb_puts(out, "Preset: ");
        roff_put(out, info->preset);
        sb_puts(out, ".\n");
    }
    if (option_words(id, &words) == WORDS_NONE || says_all(info->doc, words))
        return;
    sb_puts(out, "Words:");
    for (const char *word; word_next(&words, &word, &len);) {
        sb_puts(out, " ");
        roff_putn(out, word, len);
    }
    sb_puts(out, ".\n");
}

/* own: the command's own options; else those of every command with a MODEL. */
static void
put_options(StrBuf *out, const CommandInfo *c, const char *title, bool own)
{
    bool any = false;
    for (int i = 0; i < OPT_COUNT; i++) {
        const bool is_own = opt_info[i].commands[0] != '*' || !takes_model(c->name);
        if (!option_belongs((OptId)i, c->name) || is_own != own)
            continue;
        if (!any)
            roff_heading(out, title);
        any = true;
        put_option(out, (OptId)i);
    }
}

static void
put_model_and_status(StrBuf *out, bool model)
{
    if (model) {
        roff_heading(out, "MODEL");
        roff_put(out, help_model);
        sb_puts(out, "\n");
    }
    roff_heading(out, "EXIT STATUS");
    roff_put(out, help_status);
    sb_puts(out, "\n");
}

/* Those of one command; c NULL: of all. */
static void
put_examples(StrBuf *out, const CommandInfo *c)
{
    bool any = false;
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        const char *word = examples[i].name + strlen("ssmc ");
        const size_t len = strcspn(word, " ");
        if (c && (strlen(c->name) != len || memcmp(c->name, word, len) != 0))
            continue;
        if (!any)
            roff_heading(out, "EXAMPLES");
        any = true;
        put_entry(out, &examples[i]);
    }
}

/* What the server answers to, and what a request's body may say. */
static void
put_endpoints(StrBuf *out)
{
    roff_heading(out, "ENDPOINTS");
    for (size_t i = 0; i < COUNT_OF(endpoints); i++)
        put_entry(out, &endpoints[i]);
    roff_heading(out, "KEYS OF REQUESTS");
    roff_put(
        out,
        "Bodies are JSON. Keys that are not known are ignored, null is as if a key were absent, "
        "and what is known and not offered is refused.\n");
    for (size_t i = 0; i < COUNT_OF(request_keys); i++)
        put_entry(out, &request_keys[i]);
    roff_heading(out, "SIGNALS");
    roff_put(out, "SIGTERM and SIGINT end the server: no more requests are taken (503), and those "
                  "that run may end "
                  "within --drain. SIGHUP opens the log again.\n");
    roff_heading(out, "SECURITY");
    roff_put(out, "The server listens on the loopback address unless --host says another. It "
                  "speaks plain HTTP: TLS "
                  "is a proxy's, such as nginx, which then passes the header Authorization on. "
                  "Without --api-key-file "
                  "whoever reaches the port may use the model.\n");
}

static void
put_see_also(StrBuf *out, const CommandInfo *but)
{
    roff_heading(out, "SEE ALSO");
    if (but)
        sb_puts(out, ".BR ssmc (1),\n");
    for (int i = 0; i < command_count; i++)
        if (&command_info[i] != but)
            sb_printf(out, ".BR ssmc\\-%s (1),\n", command_info[i].name);
    sb_puts(out, ".BR ssmc (3),\n.BR ssmc\\-model (5)\n");
}

/* ---- pages --------------------------------------------------------------------------------- */

void
gen_man_overview(StrBuf *out)
{
    roff_begin(out, "ssmc", "1", "compiles state-space language models and runs them");
    roff_heading(out, "SYNOPSIS");
    sb_puts(out, ".B ssmc\n.I COMMAND\n[\\fIMODEL\\fR] [\\fIOPTION\\fR ...]\n");
    roff_heading(out, "DESCRIPTION");
    sb_puts(out, ".B ssmc\ncompiles descriptions of state\\-space language models to native code "
                 "and runs them.\n");
    sb_puts(out, ".PP\n");
    roff_put(out, "A description or a published checkpoint becomes a graph; passes choose the "
                  "form and chunk length of every SSD, fuse what belongs together and plan "
                  "memory; LLVM compiles the kernels for this CPU, or ahead of time for others.\n");
    roff_heading(out, "COMMANDS");
    for (int i = 0; i < command_count; i++) {
        sb_printf(out, ".TP\n\\fBssmc %s\\fR ", command_info[i].name);
        roff_put(out, command_info[i].args);
        sb_puts(out, "\n");
        roff_put(out, command_info[i].doc);
        sb_puts(out, ".\n");
    }
    sb_printf(out, ".PP\nEach has a page of its own, such as\n.BR ssmc\\-%s (1).\n",
              command_info[0].name);
    put_model_and_status(out, true);
    roff_heading(out, "ENVIRONMENT");
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        put_entry(out, &variables[i]);
    put_examples(out, NULL);
    put_see_also(out, NULL);
}

void
gen_man_command(StrBuf *out, const CommandInfo *c)
{
    Arena *arena = arena_new();
    const char *name = arena_printf(arena, "ssmc-%s", c->name);
    const bool model = takes_model(c->name);
    roff_begin(out, name, "1", c->doc);
    roff_heading(out, "SYNOPSIS");
    sb_printf(out, ".B ssmc %s\n", c->name);
    roff_put(out, c->args);
    sb_puts(out, strcmp(c->name, "help") == 0 ? "\n" : " [\\fIOPTION\\fR ...]\n");
    put_options(out, c, "OPTIONS", true);
    if (model)
        put_options(out, c, "OPTIONS OF EVERY COMMAND WITH A MODEL", false);
    if (strcmp(c->name, "serve") == 0)
        put_endpoints(out);
    put_model_and_status(out, model);
    put_examples(out, c);
    put_see_also(out, c);
    arena_free(arena);
}

void
gen_man_keys(StrBuf *out)
{
    StrBuf keys = {0};
    fe_help_keys(&keys);
    roff_begin(out, "ssmc-model", "5", "the description of a model that ssmc compiles");
    roff_heading(out, "DESCRIPTION");
    sb_puts(out,
            "A model is described by a YAML file. A small one, with random weights:\n.PP\n.EX\n");
    roff_put(out, "name: mine\nvocab: 32000\ndim: 512\nlayers:\n"
                  "  - {block: mamba2, repeat: 6, state: 128, head_dim: 64}\n"
                  "weights: {init: reference, seed: 0}\n");
    sb_puts(out, ".EE\n");
    roff_heading(out, "KEYS");
    sb_puts(out, ".EX\n");
    roff_put(out, sb_text(&keys));
    sb_puts(out, ".EE\n");
    roff_heading(out, "SEE ALSO");
    sb_puts(out, ".BR ssmc (1)\n");
    sb_free(&keys);
}
