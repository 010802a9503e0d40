/* driver/main.c -- the ssmc command: finds the subcommand, reads its options, runs it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "driver/driver.h"

const CommandInfo command_info[] = {
#define COMMAND(id, args, doc) {#id, cmd_##id, args, doc},
#include "driver/commands.def"
#undef COMMAND
};
const int command_count = (int)COUNT_OF(command_info);

static const CommandInfo *
command_find(const char *name)
{
    for (int i = 0; i < command_count; i++)
        if (strcmp(command_info[i].name, name) == 0)
            return &command_info[i];
    return NULL;
}

static int
unknown_command(const char *name)
{
    const char *near =
        nearest_name(name, command_info, (size_t)command_count, sizeof command_info[0]);
    if (near)
        return fault(EXIT_BAD_INPUT, "unknown command '%s'; the nearest known one is %s", name,
                     near);
    return fault(EXIT_BAD_INPUT, "unknown command '%s'; ssmc help lists them", name);
}

/* The spelling people try first. */
static const char *
command_name(const char *word)
{
    const bool asks_version = strcmp(word, "--version") == 0;
    return asks_help(word) ? "help" : asks_version ? "info" : word;
}

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error with a message, not a death */
    const char *name = argc > 1 ? command_name(argv[1]) : "help";
    const CommandInfo *command = command_find(name);
    if (!command)
        return unknown_command(name);
    Arena *arena = arena_new();
    Options o = {.arena = arena, .command = command};
    int status = EXIT_BAD_INPUT;
    o.asks_help = argc > 2 && strcmp(command_name(argv[2]), "help") == 0;
    const bool read =
        o.asks_help || options_parse(&o, argc > 2 ? argc - 2 : 0, argv + (argc > 2 ? 2 : argc));
    if (o.asks_help)
        o.model = command->name;
    if (read)
        status = o.asks_help ? cmd_help(&o) : command->run(&o);
    arena_free(arena);
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        status = fault(EXIT_FAILED, "cannot write to standard output");
    return status;
}
