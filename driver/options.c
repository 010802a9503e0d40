/* driver/options.c -- the option table, and reading a command line by it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/driver.h"

const OptInfo opt_info[OPT_COUNT] = {
#define OPTION(id, text, letter, kind, arg, preset, commands, doc)                                 \
    [OPT_##id] = {text, letter, OK_##kind, arg, preset, commands, doc},
#include "driver/options.def"
#undef OPTION
};

const char help_model[] =
    "MODEL is a YAML file, a checkpoint directory (config.json + *.safetensors or "
    "pytorch_model.bin),\na GGUF file, a text-form graph (.ir) or a compiled model (.so).";
const char help_status[] = "0 done, 1 the work failed, 2 bad usage or bad input.";

const CommandInfo command_info[] = {
#define COMMAND(id, args, doc) {#id, args, doc},
#include "driver/commands.def"
#undef COMMAND
};
const int command_count = (int)COUNT_OF(command_info);

bool
takes_model(const char *command)
{
    for (int i = 0; i < command_count; i++)
        if (strcmp(command_info[i].name, command) == 0)
            return strncmp(command_info[i].args, "MODEL", strlen("MODEL")) == 0;
    return false;
}

bool
option_belongs(OptId id, const char *command)
{
    const char *list = opt_info[id].commands;
    if (list[0] == '*' && takes_model(command))
        return true;
    const size_t len = strlen(command);
    for (const char *at = list; (at = strstr(at, command)) != NULL; at += len) {
        const bool starts = at == list || at[-1] == ' ';
        if (starts && (at[len] == '\0' || at[len] == ' '))
            return true;
    }
    return false;
}

const char *
opt_text(const Options *o, OptId id)
{
    return o->value[id].text;
}

bool
opt_given(const Options *o, OptId id)
{
    return o->value[id].given;
}

int
opt_word(const Options *o, OptId id)
{
    return word_index(id, opt_text(o, id));
}

void
options_print(const char *command)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        const OptInfo *info = &opt_info[i];
        if (!option_belongs((OptId)i, command))
            continue;
        char flags[64];
        const char letter[5] = {'-', info->letter, ',', ' ', '\0'};
        snprintf(flags, sizeof flags, "%s--%s %s", info->letter ? letter : "    ", info->name,
                 info->arg);
        printf("  %-28s %s", flags, info->doc);
        if (info->preset[0])
            printf(" [%s]", info->preset);
        putchar('\n');
    }
}

/* A program of one command is known by its file's name. */
static void
say_who(const Options *o)
{
    if (strcmp(o->command->name, "exe") != 0)
        fprintf(stderr, "ssmc %s: ", o->command->name);
    else
        fprintf(stderr, "%s: ", program_name());
}

int
option_fault(const Options *o, OptId id, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_who(o);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n  --%s %s: %s\n", opt_info[id].name, opt_info[id].arg, opt_info[id].doc);
    return EXIT_BAD_INPUT;
}

bool
output_possible(const Options *o, OptId id)
{
    const char *path = opt_text(o, id);
    if (!path)
        return true;
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? arena_strndup(o->arena, path, (size_t)(slash - path) + 1) : ".";
    struct stat st;
    const bool there = stat(path, &st) == 0;
    const bool straight = there && !S_ISREG(st.st_mode); /* a device or a pipe */
    if (there && S_ISDIR(st.st_mode))
        errno = EISDIR;
    else if (access(straight ? path : folder, W_OK) == 0)
        return true;
    fault(EXIT_BAD_INPUT, "cannot write %s: %s", path, strerror(errno));
    return false;
}

static bool
value_set(Options *o, OptId id, const char *text)
{
    OptValue *v = &o->value[id];
    const OptInfo *info = &opt_info[id];
    char *end = NULL;
    errno = 0;
    v->text = text;
    if (info->kind == OK_LIST) {
        VEC_PUSH(o->arena, v->list, v->count, v->cap, text);
        return true;
    }
    if (!option_allows(id, text)) {
        option_fault(o, id, "--%s wants %s, not '%s'", info->name, option_wants(o->arena, id),
                     text);
        return false;
    }
    if (info->kind == OK_INT) {
        v->i = strtoll(text, &end, 10);
    } else if (info->kind == OK_NUM) {
        v->num = strtod(text, &end);
    } else {
        return true;
    }
    const bool is_nan = info->kind == OK_NUM && v->num != v->num;
    if (end != text && *end == '\0' && errno == 0 && !is_nan)
        return true;
    const char *what = info->kind == OK_INT ? "a whole number" : "a number";
    option_fault(o, id, "--%s wants %s, not '%s'", info->name, what, text);
    return false;
}

static bool
option_find(const Options *o, const char *name, size_t len, char letter, OptId *out)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        const OptInfo *info = &opt_info[i];
        const bool same = letter ? info->letter == letter
                                 : strlen(info->name) == len && memcmp(info->name, name, len) == 0;
        if (!same || !option_belongs((OptId)i, o->command->name))
            continue;
        *out = (OptId)i;
        return true;
    }
    return false;
}

static void
unknown_option(const Options *o, const char *arg)
{
    const char *name = arg + strspn(arg, "-");
    const char *near = nearest_name(name, opt_info, OPT_COUNT, sizeof(OptInfo));
    say_who(o);
    fprintf(stderr, "unknown option '%s'", arg);
    if (near && strcmp(near, name) == 0)
        fputs(", which other commands have", stderr);
    else if (near)
        fprintf(stderr, "; the nearest known one is --%s", near);
    fputs("\n  --help lists them\n", stderr);
}

bool
asks_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* One option at argv[*at]; moves *at over its argument. */
static bool
option_read(Options *o, int argc, char **argv, int *at)
{
    const char *arg = argv[*at];
    const bool is_long = arg[1] == '-';
    const char *name = arg + (is_long ? 2 : 1);
    const size_t len = is_long ? strcspn(name, "=") : 1;
    OptId id = OPT_COUNT;
    if (!option_find(o, name, len, is_long ? '\0' : *name, &id)) {
        if (asks_help(arg)) {
            o->asks_help = true;
            return true;
        }
        unknown_option(o, arg);
        return false;
    }
    o->value[id].given = true;
    const bool attached = name[len] != '\0';
    if (opt_info[id].kind == OK_FLAG) {
        if (!attached)
            return true;
        option_fault(o, id, "--%s takes no argument", opt_info[id].name);
        return false;
    }
    if (attached)
        return value_set(o, id, name + len + (is_long ? 1 : 0));
    if (*at + 1 >= argc) {
        option_fault(o, id, "--%s wants an argument", opt_info[id].name);
        return false;
    }
    return value_set(o, id, argv[++*at]);
}

bool
options_parse(Options *o, int argc, char **argv)
{
    for (int i = 0; i < OPT_COUNT; i++)
        if (opt_info[i].preset[0] && !value_set(o, (OptId)i, opt_info[i].preset))
            return false;
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!option_read(o, argc, argv, &i))
                return false;
            continue;
        }
        if (o->model) {
            fault(EXIT_BAD_INPUT, "unexpected argument '%s' after '%s'", argv[i], o->model);
            return false;
        }
        o->model = argv[i];
    }
    return true;
}
