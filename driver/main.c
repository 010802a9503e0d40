/* driver/main.c -- the ssmc command: finds the subcommand, reads its options, runs it. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "driver/driver.h"

static Command *const command_run[] = {
#define COMMAND(id, args, doc) cmd_##id,
#include "driver/commands.def"
#undef COMMAND
};

/* NULL: the fault has been printed. */
static const CommandInfo *
command_find(const char *name)
{
    for (int i = 0; i < command_count; i++)
        if (strcmp(command_info[i].name, name) == 0)
            return &command_info[i];
    const char *near =
        nearest_name(name, command_info, (size_t)command_count, sizeof command_info[0]);
    if (near)
        fault(EXIT_BAD_INPUT, "unknown command '%s'; the nearest known one is %s", name, near);
    else
        fault(EXIT_BAD_INPUT, "unknown command '%s'; ssmc help lists them", name);
    return NULL;
}

/* The spelling people try first. */
static const char *
command_name(const char *word)
{
    return asks_help(word) ? "help" : word;
}

static int
finish(int status)
{
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        return fault(EXIT_FAILED, "cannot write to standard output");
    return status;
}

static int
run(int argc, char **argv)
{
    const char *name = argc > 1 ? command_name(argv[1]) : "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("ssmc %s, LLVM %s\n", SSMC_VERSION, cg_llvm_version());
        return finish(EXIT_DONE);
    }
    const CommandInfo *command = command_find(name);
    if (!command)
        return EXIT_BAD_INPUT;
    Arena *arena = arena_new();
    Options o = {.arena = arena, .command = command};
    int status = EXIT_BAD_INPUT;
    o.asks_help = argc > 2 && strcmp(command_name(argv[2]), "help") == 0;
    const bool read =
        o.asks_help || options_parse(&o, argc > 2 ? argc - 2 : 0, argv + (argc > 2 ? 2 : argc));
    if (o.asks_help)
        o.model = command->name;
    if (read)
        status = o.asks_help ? cmd_help(&o) : command_run[command - command_info](&o);
    arena_free(arena);
    return finish(status);
}

/* ---- a small stack ------------------------------------------------------------------------- */

typedef struct {
    int argc;
    char **argv;
    int status;
} Main;

static void *
run_on_thread(void *user)
{
    Main *m = user;
    m->status = run(m->argc, m->argv);
    return NULL;
}

/* Where a limit (ulimit -s) leaves the first thread less stack than LLVM may take, another runs
 * the command. */
static int
run_with_stack(int argc, char **argv)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= CG_STACK)
        return run(argc, argv);
    Main m = {argc, argv, EXIT_FAILED};
    pthread_attr_t attr;
    pthread_t id;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, CG_STACK);
    const int error = pthread_create(&id, &attr, run_on_thread, &m);
    pthread_attr_destroy(&attr);
    if (error)
        return fault(EXIT_FAILED,
                     "the stack is limited to %llu KiB (ulimit -s), and a thread with more cannot "
                     "be started: %s",
                     (unsigned long long)limit.rlim_cur >> 10, strerror(error));
    pthread_join(id, NULL);
    return m.status;
}

int
main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a write error with a message, not a death */
    standard_files();
    cg_begin();
    return run_with_stack(argc, argv);
}
