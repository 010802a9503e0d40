/* driver/gen/main.c -- ssmc_gen SSMC_H DIR: writes into DIR, while the project is built, what is
 * installed beside the command and the library. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "driver/gen/gen.h"

typedef struct {
    const char *name; /* in DIR */
    void (*write)(StrBuf *out);
} File;

static const File files[] = {
    {"libssmc.map",       gen_version_script},
    {"debian/symbols",    gen_deb_symbols   },
    {"debian/shlibs",     gen_deb_shlibs    },
    {"man1/ssmc.1",       gen_man_overview  },
    {"man5/ssmc-model.5", gen_man_keys      },
    {"bash/ssmc",         gen_bash          },
    {"zsh/_ssmc",         gen_zsh           },
};
static const char *const folders[] = {"man1", "man3", "man5", "bash", "zsh", "debian"};

typedef struct {
    Arena *arena;
    const char *dir, *header; /* header: text of ssmc.h */
} Gen;

/* Writes the text to a file of DIR, and frees it. */
static int
put(const Gen *g, const char *name, StrBuf *text)
{
    const char *why = NULL;
    const bool ok = file_write(g->arena, arena_printf(g->arena, "%s/%s", g->dir, name),
                               sb_text(text), text->len, &why);
    sb_free(text);
    return ok ? EXIT_DONE : fault(EXIT_FAILED, "%s", why);
}

/* A page for each command, and one of the library that is found under each function's name. */
static int
put_pages(const Gen *g)
{
    StrBuf library = {0};
    gen_man_header(&library, g->header);
    int status = put(g, "man3/ssmc.3", &library);
    for (int i = 0; i < command_count && status == EXIT_DONE; i++) {
        StrBuf text = {0};
        gen_man_command(&text, &command_info[i]);
        status = put(g, arena_printf(g->arena, "man1/ssmc-%s.1", command_info[i].name), &text);
    }
    for (int i = 0; gen_function[i] && status == EXIT_DONE; i++) {
        StrBuf text = {0};
        gen_man_function(&text);
        status = put(g, arena_printf(g->arena, "man3/%s.3", gen_function[i]), &text);
    }
    return status;
}

int
main(int argc, char **argv)
{
    enum { MAX_HEADER = 1 << 20 };
    if (argc != 3)
        return fault(EXIT_BAD_INPUT, "usage: ssmc_gen SSMC_H DIR");
    Gen g = {.arena = arena_new(), .dir = argv[2]};
    char *header = NULL;
    size_t len = 0;
    const char *why = NULL;
    int status = EXIT_DONE;
    if (!file_read(g.arena, argv[1], MAX_HEADER, &header, &len, &why))
        status = fault(EXIT_BAD_INPUT, "%s", why);
    g.header = header;
    for (size_t i = 0; i < COUNT_OF(folders) && status == EXIT_DONE; i++) {
        const char *path = arena_printf(g.arena, "%s/%s", g.dir, folders[i]);
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = fault(EXIT_FAILED, "cannot make %s: %s", path, strerror(errno));
    }
    for (size_t i = 0; i < COUNT_OF(files) && status == EXIT_DONE; i++) {
        StrBuf text = {0};
        files[i].write(&text);
        status = put(&g, files[i].name, &text);
    }
    if (status == EXIT_DONE)
        status = put_pages(&g);
    arena_free(g.arena);
    return status;
}
