/* driver/cmd_help.c -- ssmc help: everything printed here comes from the tables. */
#include <stdio.h>
#include <string.h>

#include "driver/driver.h"
#include "ir/docs.h"

/* What ssmc serve answers to. */
static void
put_endpoints(void)
{
    puts("\nendpoints:");
#define ROUTE(method, path, handler, key, doc) printf("  %-4s %-23s %s\n", #method, path, doc);
#include "serve/routes.def"
#undef ROUTE
}

int
cmd_help(Options *o)
{
    static const char *const kind[2] = {"exact", "rounds"};
    const char *topic = o->model;
    StrBuf text = {0};
    if (!topic) {
        puts("ssmc compiles descriptions of state-space language models to native code and runs "
             "them.\n");
        for (int i = 0; i < command_count; i++)
            printf("  ssmc %-10s %-28s %s\n", command_info[i].name, command_info[i].args,
                   command_info[i].doc);
        printf("\n%s\nExit status: %s\n", help_model, help_status);
        return EXIT_DONE;
    }
    for (int i = 0; i < command_count; i++) {
        const CommandInfo *c = &command_info[i];
        if (strcmp(c->name, topic) != 0)
            continue;
        printf("ssmc %s %s\n  %s\n\n", c->name, c->args, c->doc);
        options_print(c->name);
        if (strcmp(c->name, "serve") == 0)
            put_endpoints();
        return EXIT_DONE;
    }
    if (strcmp(topic, "keys") == 0)
        fe_help_keys(&text);
    else if (strcmp(topic, "ops") == 0)
        ir_docs(&text);
    else if (strcmp(topic, "passes") == 0)
        for (int i = 0; i < PASS_COUNT; i++)
            sb_printf(&text, "  %-14s %-8s %-7s %s\n", pass_info[i].name,
                      stage_name[pass_info[i].after], kind[pass_info[i].rounds], pass_info[i].doc);
    else
        return fault(EXIT_BAD_INPUT, "no help on '%s': it is a command, keys, ops or passes",
                     topic);
    fputs(sb_text(&text), stdout);
    sb_free(&text);
    return EXIT_DONE;
}
