/* driver/cmd_help.c -- ssmc help: everything printed here comes from the tables. */
#include <stdio.h>
#include <string.h>

#include "driver/driver.h"
#include "ir/docs.h"

static void
help_overview(void)
{
    puts("ssmc compiles descriptions of state-space language models to native code and runs "
         "them.\n");
    for (int i = 0; i < command_count; i++)
        printf("  ssmc %-10s %-28s %s\n", command_info[i].name, command_info[i].args,
               command_info[i].doc);
    printf("\n%s\nExit status: %s\n", help_model, help_status);
}

static void
help_command(const CommandInfo *c)
{
    printf("ssmc %s %s\n  %s\n\n", c->name, c->args, c->doc);
    options_print(c->name);
}

static void
help_passes(void)
{
    static const char *const kind[2] = {"exact", "rounds"};
    for (int i = 0; i < PASS_COUNT; i++)
        printf("  %-14s %-8s %-7s %s\n", pass_info[i].name, stage_name[pass_info[i].after],
               kind[pass_info[i].rounds], pass_info[i].doc);
}

int
cmd_help(Options *o)
{
    StrBuf text = {0};
    const char *topic = o->model;
    int status = EXIT_DONE;
    if (!topic) {
        help_overview();
        return EXIT_DONE;
    }
    if (strcmp(topic, "keys") == 0)
        fe_help_keys(&text);
    else if (strcmp(topic, "ops") == 0)
        ir_docs(&text);
    else if (strcmp(topic, "passes") == 0)
        help_passes();
    else
        status = EXIT_BAD_INPUT;
    for (int i = 0; i < command_count && status != EXIT_DONE; i++) {
        if (strcmp(command_info[i].name, topic) != 0)
            continue;
        help_command(&command_info[i]);
        status = EXIT_DONE;
    }
    fputs(sb_text(&text), stdout);
    sb_free(&text);
    if (status != EXIT_DONE)
        return fault(EXIT_BAD_INPUT, "no help on '%s': it is a command, keys, ops or passes",
                     topic);
    return EXIT_DONE;
}
