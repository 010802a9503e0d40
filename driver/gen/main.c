/* driver/gen/main.c -- ssmc_gen DIR: writes into DIR, while the project is built, what is installed
 * beside the command and the library. */
#include <stdio.h>

#include "driver/gen/gen.h"

typedef struct {
    const char *name; /* in DIR */
    void (*write)(StrBuf *out);
} File;

static const File files[] = {
    {"libssmc.map",     gen_version_script},
    {"libssmc.symbols", gen_deb_symbols   },
};

static int
file_make(Arena *arena, const char *dir, const File *file)
{
    StrBuf text = {0};
    const char *why = NULL;
    file->write(&text);
    const bool ok = file_write(arena, arena_printf(arena, "%s/%s", dir, file->name), sb_text(&text),
                               text.len, &why);
    sb_free(&text);
    return ok ? EXIT_DONE : fault(EXIT_FAILED, "%s", why);
}

int
main(int argc, char **argv)
{
    if (argc != 2)
        return fault(EXIT_BAD_INPUT, "usage: ssmc_gen DIR");
    Arena *arena = arena_new();
    int status = EXIT_DONE;
    for (size_t i = 0; i < COUNT_OF(files) && status == EXIT_DONE; i++)
        status = file_make(arena, argv[1], &files[i]);
    arena_free(arena);
    return status;
}
