/* driver/exe/main.c -- main of the programs that `ssmc compile --emit exe` makes: the model of this
 * file, its tokenizer, a prompt. */
#include <stdio.h>
#include <string.h>

#include "driver/exe/exe.h"

static const CommandInfo program = {"exe", "-p TEXT", "generates text"};

static int
help(void)
{
    printf("%s -p TEXT\n  generates text: text on stdout, rates on stderr\n\n", program_name());
    options_print(program.name);
    return EXIT_DONE;
}

/* One source of prompts, in range. */
static bool
options_check(const Options *o)
{
    const int sources =
        opt_given(o, OPT_prompt) + opt_given(o, OPT_prompt_file) + opt_given(o, OPT_serve_stdin);
    if (o->model) {
        fault(EXIT_BAD_INPUT, "unexpected argument '%s'", o->model);
        return false;
    }
    if (sources != 1)
        option_fault(o, OPT_prompt,
                     "what to continue? give one of -p TEXT, --prompt-file FILE and --serve-stdin");
    return sources == 1;
}

int
main(int argc, char **argv)
{
    standard_files();
    Arena *arena = arena_new();
    Options o = {.arena = arena, .command = &program};
    int status = EXIT_BAD_INPUT;
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        status = help();
    else if (options_parse(&o, argc - 1, argv + 1) && options_check(&o))
        status = exe_run(&o);
    arena_free(arena);
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        status = fault(EXIT_FAILED, "cannot write to standard output");
    return status;
}
